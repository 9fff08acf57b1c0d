import pytest

from benchmarks import transcoding
from benchmarks.codec_time import codec_time
from benchmarks.images import SOURCES, make
from dicom_pipeline.imaging import transcode
from dicom_pipeline.imaging.outcomes import Action
from dicom_pipeline.imaging.transcode import render
from dicom_pipeline.stages.conversions import convert


@pytest.mark.parametrize("source", SOURCES, ids=[source.name for source in SOURCES])
def test_every_kind_is_converted_and_its_codecs_are_timed(tmp_path, source):
    make(tmp_path / "object.dcm", source._replace(rows=64), converted=True)

    with codec_time() as codec:
        outcome = render(tmp_path / "object.dcm", tmp_path / "copy.dcm")

    assert outcome.action is Action.TRANSCODE
    assert codec.seconds > 0


@pytest.mark.parametrize("source", [source for source in SOURCES if source.kept])
def test_kinds_that_viewers_open_are_only_verified(tmp_path, source):
    make(tmp_path / "object.dcm", source._replace(rows=64), converted=False)

    with codec_time() as codec:
        outcome = render(tmp_path / "object.dcm", tmp_path / "copy.dcm")

    assert (outcome.action, outcome.frames) == (Action.KEEP, 1)
    assert codec.seconds > 0


@pytest.mark.service
def test_a_row_has_rates_for_one_and_two_processes(tmp_path):
    source = SOURCES[1]._replace(rows=64)

    row = transcoding.measure(source, "convert", tmp_path, objects=2, runs=1)

    assert all(rate > 0 for rate in row.mb_per_s.values())
    assert 0 < row.codec_share < 1


def convert_few(task):
    """Takes ten frames for many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcode, "_LARGE_BYTES", 10 << 21)
        return convert(task)


@pytest.mark.service
def test_the_peaks_of_a_large_object_are_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(transcoding, "convert", convert_few)

    large = transcoding.measure_large(tmp_path, 10, processes=2)

    assert large.pixel_bytes == 10 << 21
    assert large.worker_peak_bytes > 0
    assert large.own_peak_bytes > 0
    assert list(tmp_path.iterdir()) == []
