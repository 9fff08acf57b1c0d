import errno
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from dicom_pipeline.imaging import encoding, transcode
from dicom_pipeline.imaging.failures import failed_outcome
from dicom_pipeline.imaging.outcomes import Action, ErrorCode, Outcome
from dicom_pipeline.imaging.transcode import render
from dicom_pipeline.imaging.transfer_syntaxes import JPEG_LS_LOSSLESS
from dicom_pipeline.workers import LimitedPool, TaskFailure
from dicom_pipeline_tests.imaging.images import (
    ALL_BITS,
    EXPLICIT,
    P,
    encapsulated,
    header,
    j2k,
    jls,
    jpeg,
    jxl,
    native,
    noise,
    raw_pixel_data,
    rle,
    save,
)

GREY, SIGNED8 = noise("u1", 0, 255), noise("i1", -128, 127)
GREY16 = noise("u2", 0, 65535)
COLOUR8 = noise("u1", 0, 255, colour=True)
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "renditions" / "study" / "object.dcm"


# What is not transcoded


def test_a_kept_object_leaves_no_file(tmp_path, target):
    outcome = render(native(tmp_path / "object.dcm", GREY), target)

    assert (outcome.action, outcome.target_ts, outcome.error) == (Action.KEEP, None, None)
    assert not target.parent.exists()


def test_a_kept_compressed_image_was_decoded_in_full(tmp_path, target):
    frames = [j2k(GREY), j2k(GREY)[:-200]]
    whole = encapsulated(tmp_path / "a.dcm", GREY, f"{P}.4.90", frames[:1] * 2, NumberOfFrames=2)
    damaged = encapsulated(tmp_path / "b.dcm", GREY, f"{P}.4.90", frames, NumberOfFrames=2)

    good, bad = render(whole, target), render(damaged, target)

    assert (good.action, good.frames) == (Action.KEEP, 2)
    assert (bad.action, bad.rule) == (Action.FAIL, "not-decodable")
    assert bad.error is not None
    assert bad.error.code is ErrorCode.TRUNCATED
    assert bad.error.library == "pylibjpeg-openjpeg"
    assert bad.error.library_version


@pytest.mark.parametrize(
    ("syntax", "frames"),
    [(JPEG_LS_LOSSLESS, [jls(GREY16), jls(GREY)]), (f"{P}.4.110", [jxl(GREY16), jxl(GREY)])],
)
def test_frames_of_different_depth_are_a_stated_failure(tmp_path, target, syntax, frames):
    source = encapsulated(tmp_path / "object.dcm", GREY16, syntax, frames, NumberOfFrames=2)

    outcome = render(source, target)

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.DECODER_ERROR
    assert "frame 1 has pixels of uint8" in outcome.error.reason


@pytest.mark.parametrize("sop_class", ["1.2.840.10008.5.1.4.1.1.66.4", LABEL_MAP])
def test_a_compressed_segmentation_was_decoded_in_full_too(tmp_path, target, sop_class):
    whole, cut = j2k(GREY), j2k(GREY)[:-200]
    good = encapsulated(tmp_path / "a.dcm", GREY, f"{P}.4.90", [whole], SOPClassUID=sop_class)
    bad = encapsulated(tmp_path / "b.dcm", GREY, f"{P}.4.90", [cut], SOPClassUID=sop_class)

    kept, failed = render(good, target), render(bad, target)

    assert (kept.action, kept.frames) == (Action.KEEP, 1)
    assert failed.error is not None
    assert failed.error.code is ErrorCode.TRUNCATED


def test_a_compressed_mask_was_decoded_in_full_too(tmp_path, target):
    frame = rle(np.packbits(GREY[:32, :40] > 99, axis=1))
    good, bad = (
        encapsulated(tmp_path / name, GREY[:32, :40], f"{P}.5", [coded],
                     SOPClassUID=LABEL_MAP, BitsAllocated=1, BitsStored=1)
        for name, coded in (("a.dcm", frame), ("b.dcm", frame[:-40]))
    )  # fmt: skip

    kept, failed = render(good, target), render(bad, target)

    assert (kept.action, kept.frames) == (Action.KEEP, 1)
    assert failed.error is not None
    assert failed.error.code is ErrorCode.TRUNCATED


@pytest.mark.parametrize("syntax", [f"{P}.8.1", f"{P}.1.98"])
def test_a_frame_with_more_bytes_than_a_frame_is_a_stated_failure(tmp_path, target, syntax):
    frame = ALL_BITS[syntax](np.stack([GREY, GREY]))

    outcome = render(encapsulated(tmp_path / "object.dcm", GREY, syntax, [frame]), target)

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.UNREADABLE_OBJECT


def test_a_rendition_with_other_pixels_never_appears(tmp_path, target, monkeypatch):
    monkeypatch.setattr(encoding, "_jpeg_ls", lambda pixels, bits: jls((pixels ^ 1).view("u2")))

    outcome = render(native(tmp_path / "object.dcm", SIGNED8), target)

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.MISMATCH
    assert list(target.parent.iterdir()) == []


def test_a_rendition_that_cannot_be_written_may_be_tried_again(tmp_path):
    (tmp_path / "file").write_bytes(b"")

    outcome = render(native(tmp_path / "object.dcm", SIGNED8), tmp_path / "file" / "object.dcm")

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.IO_ERROR
    assert outcome.error.retryable


def test_a_missing_file_is_not_an_error_of_the_system(tmp_path, target):
    outcome = render(tmp_path / "none.dcm", target)

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.retryable) == (ErrorCode.FILE_MISSING, False)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, ErrorCode.IO_ERROR),
        (errno.EROFS, ErrorCode.IO_ERROR),
        (errno.EACCES, ErrorCode.IO_ERROR),
        (errno.ESTALE, ErrorCode.IO_ERROR),
        (errno.EIO, ErrorCode.IO_ERROR),
        (errno.ENOENT, ErrorCode.IO_ERROR),  # of the rendition's folder
        (errno.ENOMEM, ErrorCode.LIMIT_EXCEEDED),
        (errno.EFBIG, ErrorCode.LIMIT_EXCEEDED),
        (errno.ENAMETOOLONG, ErrorCode.LIMIT_EXCEEDED),
        (None, ErrorCode.INTERNAL),
    ],
)
def test_only_what_the_system_refuses_is_an_error_of_the_system(
    tmp_path, target, monkeypatch, number, code
):
    def refuse(*_):
        raise OSError(number, "refused", str(target)) if number else OSError("Nobody^Knows")

    monkeypatch.setattr(transcode, "surround", refuse)

    outcome = render(native(tmp_path / "object.dcm", SIGNED8), target)

    assert outcome.error is not None
    assert outcome.error.code is code
    assert outcome.error.retryable == (code is ErrorCode.IO_ERROR)
    assert "Nobody" not in outcome.error.reason


def test_a_source_that_cannot_be_read_may_be_tried_again(tmp_path, target, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "refused", "object.dcm")

    monkeypatch.setattr(Path, "open", refuse)

    outcome = render(tmp_path / "object.dcm", target)

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.IO_ERROR


def test_a_broken_sequence_is_the_object_s_fault_though_pydicom_raises_an_os_error(
    tmp_path, target
):
    source = native(tmp_path / "object.dcm", SIGNED8)
    whole = source.read_bytes()
    at = whole.index(b"\x10\x00\x10\x00PN")
    broken = b"\x08\x00\x40\x11SQ\0\0\x06\0\0\0" + b"\xfe\xff\x00\xe0\0\0"
    source.write_bytes(whole[:at] + broken + whole[at:])

    outcome = render(source, target)

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.UNREADABLE_OBJECT


def test_an_element_that_pydicom_cannot_convert_makes_the_object_unreadable(tmp_path, target):
    source = native(tmp_path / "object.dcm", GREY)
    source.write_bytes(source.read_bytes().replace(b"\x28\x00\x10\x00US", b"\x28\x00\x10\x00??"))

    outcome = render(source, target)

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.UNREADABLE_OBJECT


def test_a_defect_of_this_program_is_called_one(tmp_path, target, monkeypatch):
    monkeypatch.setattr(transcode, "digest", lambda pixels: 1 / 0)

    outcome = render(native(tmp_path / "object.dcm", SIGNED8), target)

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.retryable) == (ErrorCode.INTERNAL, False)
    assert "ZeroDivisionError at" in outcome.error.reason


# Hostile inputs


def nested(path: Path, depth: int) -> Path:
    save(path, header(GREY16), EXPLICIT)
    opening = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    path.write_bytes(path.read_bytes() + opening * depth)
    return path


HOSTILE = {
    "nothing": lambda p: p.write_bytes(b"") or None,
    "noise": lambda p: p.write_bytes(np.random.default_rng(3).bytes(5000)) or None,
    "truncated": lambda p: raw_pixel_data(p, GREY16, GREY16.tobytes()[:-9], GREY16.nbytes),
    "8 GB in a tiny file": lambda p: raw_pixel_data(
        p, GREY16, b"tiny", 4, Rows=65535, Columns=65535),
    "8 GB in a JPEG-LS": lambda p: encapsulated(
        p, GREY16, JPEG_LS_LOSSLESS, [jls(GREY16)], Rows=65535, Columns=65535),
    "many frames": lambda p: encapsulated(
        p, GREY, JPEG_LS_LOSSLESS, [jls(GREY)], NumberOfFrames=2**31 - 1),
    "3 GB declared": lambda p: raw_pixel_data(
        p, GREY16, bytes(100_000), 3 << 30, Rows=30000, Columns=50000),
    "no value": lambda p: raw_pixel_data(p, GREY16, b"", 0),
    "native under compressed": lambda p: native(p, GREY, f"{P}.4.70"),
    "compressed under native": lambda p: encapsulated(p, GREY16, EXPLICIT, [jls(GREY)[:300]]),
    "100,000 nested items": lambda p: nested(p, 100_000),
    "200 nested items": lambda p: nested(p, 200),
    "rows without a value": lambda p: native(p, GREY, Rows=None),
    "no samples": lambda p: native(p, GREY, SamplesPerPixel=0),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_object_ends_in_a_stated_failure(tmp_path, target, name):
    HOSTILE[name](tmp_path / "object.dcm")

    outcome = render(tmp_path / "object.dcm", target)

    assert outcome.action is Action.FAIL
    assert outcome.error is not None
    assert outcome.error.code is not ErrorCode.INTERNAL, outcome.error
    assert not target.exists()


def test_reasons_hold_no_patient_data(tmp_path, target):
    for name, make in HOSTILE.items():
        make(tmp_path / name.replace(" ", "-"))
        outcome = render(tmp_path / name.replace(" ", "-"), target)
        assert "Nobody" not in f"{outcome}"


def test_pydicom_s_warnings_which_quote_values_reach_no_log(tmp_path, target, caplog):
    source = encapsulated(tmp_path / "object.dcm", COLOUR8, EXPLICIT, [jpeg(COLOUR8)])
    whole = source.read_bytes()
    source.write_bytes(whole.replace(b"\x10\x00\x10\x00PN", b"\x10\x00\x10\x00??"))
    for path in (source, get_testdata_file("SC_rgb_jpeg.dcm")):
        render(Path(path), target)

    assert caplog.records == []


def render_pair(pair: tuple[Path, Path]) -> object:
    return render(*pair)


@pytest.mark.service
def test_hostile_objects_do_no_harm_in_a_worker_with_little_memory(tmp_path):
    pairs = []
    for number, make in enumerate(HOSTILE.values()):
        make(tmp_path / f"{number}.dcm")
        pairs.append((tmp_path / f"{number}.dcm", tmp_path / "out.dcm"))
    with LimitedPool(render_pair, processes=2, memory_bytes=2 << 30, seconds=60) as pool:
        outcomes = list(pool.map(pairs))

    assert all(isinstance(outcome, Outcome) for outcome in outcomes)


@pytest.mark.parametrize(
    ("code", "error_code", "retryable"),
    [
        ("timeout", ErrorCode.TIMEOUT, True),
        ("crashed", ErrorCode.CRASHED, True),
        ("memory", ErrorCode.LIMIT_EXCEEDED, False),
        ("exception", ErrorCode.INTERNAL, False),
    ],
)
def test_a_lost_worker_is_an_outcome(code, error_code, retryable):
    outcome = failed_outcome(TaskFailure(code, "why"))

    assert outcome.action is Action.FAIL
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.retryable) == (error_code, retryable)
    assert outcome.error.reason == "why"
