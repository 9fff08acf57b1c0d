"""Objects of many frames: cut in parts, done by several processes, put together in order."""

import logging
import os
import time
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import generate_frames, parse_basic_offsets

from dicom_pipeline.imaging import parts, transcode
from dicom_pipeline.imaging.decoding import decode_frames
from dicom_pipeline.imaging.image import describe_image
from dicom_pipeline.imaging.objects import open_object
from dicom_pipeline.imaging.outcomes import Action, ErrorCode, Outcome
from dicom_pipeline.imaging.transcode import LargeObject, render
from dicom_pipeline.imaging.transfer_syntaxes import JPEG_LS_LOSSLESS, PAPYRUS
from dicom_pipeline.stages import large_objects
from dicom_pipeline.stages.conversions import CheckPart, Conversion, EncodePart, convert
from dicom_pipeline.stages.large_objects import convert_in_parts
from dicom_pipeline.workers import LimitedPool, TaskFailure
from dicom_pipeline_tests.imaging.images import P, encapsulated, j2k, native, noise, rle

FRAMES = np.stack([noise("u2", 0, 4095, seed=seed) for seed in range(7)])
SIGNED8 = np.stack([noise("i1", -128, 127, seed=seed) for seed in range(7)])
UID = "1.2.3.4.5"


class Here:
    """A pool that works in this process and may give other results for some tasks."""

    def __init__(self, **instead):
        self.instead = instead
        self.tasks = []

    def map(self, items):
        for item in items:
            self.tasks.append(item)
            prepared = self.instead.get(type(item).__name__)
            yield prepared.pop(0) if prepared else convert(item)


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch):
    """Two frames make a part, and an object of more than that is a large one."""
    monkeypatch.setattr(transcode, "_LARGE_BYTES", SIGNED8[:3].nbytes)
    monkeypatch.setattr(transcode, "_BYTES_AT_ONCE", 2 * SIGNED8[0].nbytes)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "renditions" / "object.dcm"


def converted(source, target, pool=None):
    pool = pool or Here()
    conversion = Conversion(source, target)
    (large,) = pool.map([conversion])
    assert isinstance(large, LargeObject), large
    return convert_in_parts(pool, conversion, large, UID)


def pixels_of(path):
    with open_object(path) as source:
        return np.stack(list(decode_frames(source, describe_image(source))))


def signed_bytes(tmp_path):
    return native(tmp_path / "object.dcm", SIGNED8, NumberOfFrames=7)


def test_a_small_object_stays_one_task(tmp_path, target):
    source = native(tmp_path / "object.dcm", SIGNED8[:2], NumberOfFrames=2)

    (outcome,) = Here().map([Conversion(source, target)])

    assert isinstance(outcome, Outcome)
    assert outcome.action is Action.TRANSCODE
    assert target.exists()


def test_a_rendition_made_in_parts_is_the_one_that_is_made_at_once(tmp_path, target):
    source, pool = signed_bytes(tmp_path), Here()

    outcome = converted(source, target, pool)

    assert [len(task.frames) for task in pool.tasks if isinstance(task, EncodePart)] == [2, 2, 2, 1]
    at_once = render(source, tmp_path / "at-once.dcm")
    assert outcome == at_once
    assert target.read_bytes() == (tmp_path / "at-once.dcm").read_bytes()
    assert np.array_equal(pixels_of(target), SIGNED8)


def test_every_frame_has_one_fragment_and_its_offset(tmp_path, target):
    converted(signed_bytes(tmp_path), target)

    ds = dcmread(target)
    offsets = parse_basic_offsets(ds.PixelData)
    lengths = [len(frame) + 8 for frame in generate_frames(ds.PixelData, number_of_frames=7)]
    assert offsets == [0, *np.cumsum(lengths)[:-1]]


def test_native_targets_are_streamed_too(tmp_path, target):
    frames = FRAMES[:, :, :45]
    source = native(tmp_path / "object.dcm", frames, PAPYRUS, NumberOfFrames=7)

    outcome = converted(source, target)

    assert outcome.target_ts == f"{P}.1"
    assert dcmread(target).PixelData == frames.astype("<u2").tobytes()


def test_a_kept_object_is_decoded_in_parts(tmp_path, target):
    source = encapsulated(tmp_path / "object.dcm", FRAMES[0], f"{P}.4.90",
                          [j2k(frame) for frame in FRAMES], NumberOfFrames=7)  # fmt: skip

    outcome = converted(source, target)

    assert (outcome.action, outcome.frames) == (Action.KEEP, 7)
    assert not target.parent.exists()


def test_a_damaged_frame_of_a_kept_object_is_found(tmp_path, target):
    coded = [j2k(frame) for frame in FRAMES]
    coded[5] = coded[5][:-300]
    source = encapsulated(tmp_path / "object.dcm", FRAMES[0], f"{P}.4.90", coded,
                          NumberOfFrames=7)  # fmt: skip

    outcome = converted(source, target)

    assert (outcome.action, outcome.rule) == (Action.FAIL, "not-decodable")
    assert outcome.error.code is ErrorCode.TRUNCATED
    assert "frame 5" in outcome.error.reason


def test_frames_that_do_not_keep_to_bits_stored_take_the_whole_cell(tmp_path, target):
    wide = FRAMES.copy()
    wide[4, 3, 3] = 4096
    source = encapsulated(tmp_path / "object.dcm", wide[0], f"{P}.4.92",
                          [j2k(frame) for frame in wide], NumberOfFrames=7,
                          BitsStored=12)  # fmt: skip

    outcome = converted(source, target)

    assert outcome.error is None
    assert dcmread(target).BitsStored == 16
    assert np.array_equal(pixels_of(target), wide)
    assert render(source, tmp_path / "at-once.dcm") == outcome


@pytest.mark.parametrize(
    ("code", "error_code"),
    [
        ("timeout", ErrorCode.TIMEOUT),
        ("crashed", ErrorCode.CRASHED),
        ("memory", ErrorCode.LIMIT_EXCEEDED),
    ],
)
@pytest.mark.parametrize("task", ["EncodePart", "CheckPart"])
def test_a_lost_part_is_tried_again_and_then_fails_the_object(
    tmp_path, target, task, code, error_code
):
    lost = TaskFailure(code, "why")

    once = converted(signed_bytes(tmp_path), target, Here(**{task: [lost]}))
    target.unlink()
    twice = converted(signed_bytes(tmp_path), target, Here(**{task: [lost, lost]}))

    assert once.error is None
    assert twice.error.code is error_code
    assert twice.rule == "eight-bit-signed"
    assert list(target.parent.iterdir()) == []


def test_other_pixels_in_any_part_keep_the_rendition_from_appearing(tmp_path, target, monkeypatch):
    def altered(*task):
        encoded = parts.encode_part(*task)
        if task[2].start == 4:
            encoded.frames.reverse()
        return encoded

    monkeypatch.setattr("dicom_pipeline.stages.conversions.encode_part", altered)

    outcome = converted(signed_bytes(tmp_path), target)

    assert outcome.error.code is ErrorCode.MISMATCH
    assert "frame 4" in outcome.error.reason
    assert list(target.parent.iterdir()) == []


def test_nothing_is_left_when_a_conversion_is_interrupted(tmp_path, target):
    class Interrupted(Here):
        def map(self, items):
            for item in items:
                if isinstance(item, CheckPart):
                    raise KeyboardInterrupt
                yield convert(item)

    with pytest.raises(KeyboardInterrupt):
        converted(signed_bytes(tmp_path), target, Interrupted())

    assert list(target.parent.iterdir()) == []


def test_a_full_disk_is_an_error_of_the_system(tmp_path, target, monkeypatch):
    def full(_file, _frame):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(large_objects.RenditionFile, "append", full)

    outcome = converted(signed_bytes(tmp_path), target)

    assert outcome.error.code is ErrorCode.IO_ERROR
    assert list(target.parent.iterdir()) == []


def test_progress_is_logged_with_the_object_s_uid(tmp_path, target, monkeypatch, caplog):
    monkeypatch.setattr(large_objects, "_PROGRESS_EVERY", 0.0)
    caplog.set_level(logging.INFO)

    converted(signed_bytes(tmp_path), target)

    said = [record.getMessage() for record in caplog.records]
    assert f"object {UID}: 4 of 7 frames converted" in said
    assert f"object {UID}: 7 of 7 frames read back" in said


def test_more_pixels_than_native_data_can_hold_become_jpeg_ls_or_a_stated_failure(
    tmp_path, target, monkeypatch
):
    monkeypatch.setattr("dicom_pipeline.imaging.encoding.LONGEST_VALUE", 1000)
    carried = native(tmp_path / "a.dcm", FRAMES, PAPYRUS, NumberOfFrames=7)
    wide = encapsulated(tmp_path / "b.dcm", FRAMES[0].astype("u4"), f"{P}.5",
                        [rle(frame.astype("u4")) for frame in FRAMES],
                        NumberOfFrames=7)  # fmt: skip

    outcome = converted(carried, target)
    (failed,) = Here().map([Conversion(wide, target)])

    assert outcome.target_ts == JPEG_LS_LOSSLESS
    assert np.array_equal(pixels_of(target), FRAMES)
    assert failed.error.code is ErrorCode.LIMIT_EXCEEDED


def encode_badly(task):
    """A codec that crashes or hangs in the third part, whichever process it runs in."""
    if isinstance(task, EncodePart) and task.frames.start == 4:
        if task.source.stem == "crash":
            os.abort()
        if task.source.stem == "hang":
            time.sleep(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transcode, "_LARGE_BYTES", SIGNED8[:3].nbytes)
        patch.setattr(transcode, "_BYTES_AT_ONCE", 2 * SIGNED8[0].nbytes)
        return convert(task)


@pytest.mark.service
def test_a_codec_that_crashes_or_hangs_on_one_part_costs_its_object_only(tmp_path, target):
    good, crash, hang = (
        native(tmp_path / f"{name}.dcm", SIGNED8, NumberOfFrames=7)
        for name in ("good", "crash", "hang")
    )
    with LimitedPool(encode_badly, processes=2, memory_bytes=2 << 30, seconds=3) as pool:
        outcomes = [converted(source, target, pool) for source in (crash, hang, good)]

    codes = [outcome.error and outcome.error.code for outcome in outcomes]
    assert codes == [ErrorCode.CRASHED, ErrorCode.TIMEOUT, None]
    assert np.array_equal(pixels_of(target), SIGNED8)
    assert [path.name for path in Path(target.parent).iterdir()] == [target.name]
