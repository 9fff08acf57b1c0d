import io

import av
import numpy as np

from dicom_pipeline.cli.sending import read_outgoing
from dicom_pipeline.demo.video import FRAMES, phantom, stream, video
from dicom_pipeline.imaging.outcomes import Action
from dicom_pipeline.imaging.transcode import render


def test_the_stream_holds_the_very_samples_of_the_phantom():
    with av.open(io.BytesIO(stream()), format="h264") as file:
        frames = [frame.to_ndarray(format="gray") for frame in file.decode(video=0)]

    assert len(frames) == FRAMES
    for number, frame in enumerate(frames):
        limited = phantom(number).astype(float)
        assert np.abs(frame - (limited - 16) * 255 / 219).max() <= 2


def test_the_object_has_the_same_bytes_each_time_and_becomes_a_video(tmp_path):
    first, second = video(tmp_path / "a.dcm"), video(tmp_path / "b" / "b.dcm")
    assert first.read_bytes() == second.read_bytes()
    written = first.stat().st_mtime_ns
    assert video(first).stat().st_mtime_ns == written
    assert read_outgoing(first) is not None

    outcome = render(first, tmp_path / "out.dcm")

    assert (outcome.action, outcome.error) == (Action.EXTRACT_VIDEO, None)
    assert "as it is" in outcome.reason
    assert outcome.frames == FRAMES
