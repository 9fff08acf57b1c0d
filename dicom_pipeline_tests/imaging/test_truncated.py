"""What was cut short says so, wherever the cut is, and nothing else does."""

import pytest

from dicom_pipeline.imaging.outcomes import ErrorCode
from dicom_pipeline.imaging.transcode import render
from dicom_pipeline_tests.imaging.images import (
    P,
    deflated,
    encapsulated,
    htj2k,
    j2k,
    jls,
    jpeg,
    jxl,
    noise,
    rle,
)

GREY, GREY16 = noise("u1", 0, 255), noise("u2", 0, 65535)
CODED = {
    "deflated": (f"{P}.8.1", GREY16, deflated(GREY16)),
    "encapsulated": (f"{P}.1.98", GREY16, GREY16.tobytes()),
    "htj2k": (f"{P}.4.201", GREY16, htj2k(GREY16)),
    "jpeg": (f"{P}.4.50", GREY, jpeg(GREY)),
    "jpeg-2000": (f"{P}.4.90", GREY16, j2k(GREY16)),
    "jpeg-ls": (f"{P}.4.80", GREY16, jls(GREY16)),
    "jpeg-xl": (f"{P}.4.110", GREY16, jxl(GREY16)),
    "rle": (f"{P}.5", GREY16, rle(GREY16)),
}
DELIMITER_BYTES = 8


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("left", [0.1, 0.5, 0.9])
def test_a_codestream_that_was_cut(tmp_path, coding, left):
    syntax, pixels, frame = CODED[coding]
    part = frame[: int(len(frame) * left)]

    outcome = render(encapsulated(tmp_path / "a.dcm", pixels, syntax, [part]), tmp_path / "b.dcm")

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.TRUNCATED


@pytest.mark.parametrize("lost", [2, 4, 8, 20])
def test_an_rle_frame_that_lost_its_last_bytes(tmp_path, lost):
    path = encapsulated(tmp_path / "a.dcm", GREY16, f"{P}.5", [rle(GREY16)[:-lost]])

    outcome = render(path, tmp_path / "b.dcm")

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.TRUNCATED


@pytest.mark.parametrize("coding", ["htj2k", "jpeg", "jpeg-2000", "jpeg-ls"])
@pytest.mark.parametrize("left", [2, 12, 30])
def test_a_codestream_that_was_cut_inside_its_headers(tmp_path, coding, left):
    syntax, pixels, frame = CODED[coding]
    path = encapsulated(tmp_path / "a.dcm", pixels, syntax, [frame[:left]])

    outcome = render(path, tmp_path / "b.dcm")

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.TRUNCATED


@pytest.mark.parametrize("coding", CODED)
@pytest.mark.parametrize("lost", [DELIMITER_BYTES, DELIMITER_BYTES + 1, 200])
def test_a_file_that_was_cut_inside_its_fragments(tmp_path, coding, lost):
    syntax, pixels, frame = CODED[coding]
    path = encapsulated(tmp_path / "a.dcm", pixels, syntax, [frame])
    path.write_bytes(path.read_bytes()[:-lost])

    outcome = render(path, tmp_path / "b.dcm")

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.TRUNCATED


@pytest.mark.parametrize("coding", ["jpeg", "jpeg-ls"])
def test_a_scan_that_leads_past_its_end_marker_is_damaged_not_cut(tmp_path, coding):
    syntax, pixels, frame = CODED[coding]
    middle = len(frame) // 2
    damaged = frame[:middle] + b"\xff\xc4\xff\xf0" + frame[middle + 4 :]

    outcome = render(
        encapsulated(tmp_path / "a.dcm", pixels, syntax, [damaged]), tmp_path / "b.dcm"
    )

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.DECODER_ERROR


@pytest.mark.parametrize("coding", ["htj2k", "jpeg", "jpeg-2000", "jpeg-ls"])
def test_bytes_behind_the_end_marker_are_no_fault(tmp_path, coding):
    syntax, pixels, frame = CODED[coding]
    path = encapsulated(tmp_path / "a.dcm", pixels, syntax, [frame + b"left behind "])

    assert render(path, tmp_path / "b.dcm").error is None
