import errno
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pydicom.data
import pytest
from pydicom import dcmread
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence

from dicom_pipeline.imaging import encoding, transcode
from dicom_pipeline.imaging.decoding import decode_frames
from dicom_pipeline.imaging.display_copy import IMPLEMENTATION_CLASS_UID
from dicom_pipeline.imaging.image import describe_image
from dicom_pipeline.imaging.objects import open_object
from dicom_pipeline.imaging.outcomes import Action, ErrorCode
from dicom_pipeline.imaging.rendering import decide
from dicom_pipeline.imaging.transcode import failed_outcome, render
from dicom_pipeline.imaging.transfer_syntaxes import JPEG_LS_LOSSLESS
from dicom_pipeline.workers import LimitedPool, TaskFailure
from dicom_pipeline_tests.imaging.images import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    P,
    deflated,
    encapsulated,
    header,
    j2k,
    jls,
    jpeg,
    jxl,
    native,
    noise,
    palettes,
    rle,
    save,
)

GREY, SIGNED8 = noise("u1", 0, 255), noise("i1", -128, 127)
GREY12, GREY16 = noise("u2", 0, 4095), noise("u2", 0, 65535)
COLOUR8 = noise("u1", 0, 255, colour=True)
COLOUR16 = noise("u2", 0, 65535, colour=True)
LABEL_MAP = "1.2.840.10008.5.1.4.1.1.66.7"
BUNDLED = sorted(
    path
    for path in (Path(pydicom.data.__file__).parent).rglob("*")
    if path.is_file() and (path.suffix == ".dcm" or "dicomdirtests" in path.parts)
    if path.suffix != ".txt" and path.name != "README"
)


def pixels_of(path: Path) -> np.ndarray:
    with open_object(path) as source:
        return np.stack(list(decode_frames(source, describe_image(source))))


@pytest.fixture
def target(tmp_path):
    return tmp_path / "renditions" / "study" / "object.dcm"


def rendition(source: Path, target: Path) -> Dataset:
    """The data set of the rendition, which must have been made."""
    outcome = render(source, target)
    assert outcome.action is Action.TRANSCODE, outcome
    assert outcome.error is None
    assert outcome.file_size == target.stat().st_size
    ds = dcmread(target)
    assert ds.file_meta.TransferSyntaxUID == outcome.target_ts
    assert decide(target).action is Action.KEEP
    return ds


# Real files


def test_every_bundled_file_has_right_pixels_or_a_stated_failure(tmp_path):
    actions: Counter[Action] = Counter()
    for path in BUNDLED:
        target = tmp_path / str(len(actions)) / path.name

        outcome = render(path, target)

        actions[outcome.action] += 1
        assert target.exists() == (outcome.target_ts is not None), path
        assert (outcome.error is not None) == (outcome.action is Action.FAIL), path
        if outcome.error is not None:
            assert outcome.error.code not in {ErrorCode.INTERNAL, ErrorCode.MISMATCH}, path
        if outcome.target_ts is not None:
            assert np.array_equal(pixels_of(target), pixels_of(path)), path
            assert decide(target).action is Action.KEEP
            target.unlink()

    assert actions == {
        Action.KEEP: 82,
        Action.NO_PIXELS: 28,
        Action.TRANSCODE: 20,
        Action.FAIL: 62,  # 50 of them are CT images whose pixel data was taken out
    }


REFERENCE_CANNOT = {
    "JPEG-lossy.dcm",  # 12-bit JPEG
    "JPGExtended.dcm",
    "SC_rgb_jpeg.dcm",  # another encoding than its syntax says
    "image_dfl.dcm",
}


def test_bundled_images_decode_to_the_pixels_of_another_reader(tmp_path):
    compared = 0
    for path in BUNDLED:
        outcome = render(path, tmp_path / "rendition.dcm")
        shown = outcome.action in {Action.KEEP, Action.TRANSCODE}
        if not shown or path.name in REFERENCE_CANNOT:
            continue
        ours = pixels_of(path)
        with open_object(path):
            reference = pydicom.pixels.pixel_array(path)
        compared += 1
        assert np.array_equal(ours, reference.reshape(ours.shape)), path
    assert compared > 90


def test_a_multi_frame_rendition_has_a_fragment_a_frame_and_their_offsets(tmp_path, target):
    frames = np.stack([COLOUR16, COLOUR16[::-1], COLOUR16[:, ::-1]])
    source = encapsulated(tmp_path / "object.dcm", COLOUR16, f"{P}.5", [rle(f) for f in frames],
                          NumberOfFrames=3)  # fmt: skip

    ds = rendition(source, target)

    fragments = pydicom.encaps.parse_fragments(ds.PixelData)
    assert fragments[0] == 3 + 1  # and the offset table
    assert pydicom.encaps.parse_basic_offsets(ds.PixelData) != []
    assert np.array_equal(pixels_of(target), frames)


def test_the_pixels_are_held_about_twice_at_most(tmp_path, target):
    frames = np.random.default_rng(1).integers(-128, 128, (48, 256, 256), dtype="i1")
    source = native(tmp_path / "object.dcm", frames, NumberOfFrames=48)

    tracemalloc.start()
    outcome = render(source, target)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert outcome.action is Action.TRANSCODE
    assert peak < 2.8 * frames.nbytes


def test_a_rendition_beyond_4_gb_has_an_extended_offset_table(tmp_path, target, monkeypatch):
    monkeypatch.setattr("dicom_pipeline.imaging.display_copy._LARGEST_BASIC_OFFSET", 100)
    frames = np.stack([SIGNED8, SIGNED8[::-1]])

    made = rendition(native(tmp_path / "object.dcm", frames, NumberOfFrames=2), target)

    assert len(made.ExtendedOffsetTable) == 2 * 8
    assert np.array_equal(pixels_of(target), frames)


# What a rendition says about itself


def test_signed_bytes_are_promoted_with_everything_that_holds_pixel_values(tmp_path, target):
    source = native(tmp_path / "object.dcm", SIGNED8, PixelPaddingValue=128)

    ds = rendition(source, target)

    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation) == (16, 16, 15, 1)
    assert ds.PixelPaddingValue == -128
    assert np.array_equal(pixels_of(target)[0], SIGNED8)


ALL_BITS: dict[str, Callable[[np.ndarray], bytes]] = {
    f"{P}.5": rle,
    f"{P}.8.1": deflated,
    f"{P}.1.98": lambda cells: cells.tobytes(),
}
"""How a frame is coded in the compressed syntaxes that keep the bits around the pixel's value."""


@pytest.mark.parametrize("syntax", [EXPLICIT, *ALL_BITS])
def test_a_high_bit_is_repaired(tmp_path, target, syntax):
    cells = GREY12 << 4
    source = (
        encapsulated(tmp_path / "object.dcm", cells, syntax, [ALL_BITS[syntax](cells)],
                     BitsStored=12, HighBit=15)
        if syntax in ALL_BITS
        else native(tmp_path / "object.dcm", cells, BitsStored=12, HighBit=15)
    )  # fmt: skip

    ds = rendition(source, target)

    assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit) == (16, 12, 11)
    assert np.array_equal(pixels_of(target)[0], GREY12)


@pytest.mark.parametrize("syntax", [EXPLICIT, *ALL_BITS])
def test_an_overlay_in_the_unused_bits_moves_to_overlay_data(tmp_path, target, syntax):
    plane = (np.indices(GREY12.shape).sum(axis=0) % 3 == 0).astype("u2")
    ds = header(GREY12, BitsStored=12)
    ds.add_new(0x60000010, "US", GREY12.shape[0])
    ds.add_new(0x60000011, "US", GREY12.shape[1])
    ds.add_new(0x60000100, "US", 16)
    ds.add_new(0x60000102, "US", 15)
    ds.add_new("PixelData", "OW", (GREY12 | plane << 15).tobytes())

    if syntax in ALL_BITS:
        ds.PixelData = encapsulate([ALL_BITS[syntax](GREY12 | plane << 15)])
        ds["PixelData"].is_undefined_length = True

    made = rendition(save(tmp_path / "object.dcm", ds, syntax), target)

    assert (made[0x60000100].value, made[0x60000102].value) == (1, 0)
    assert np.array_equal(made.overlay_array(0x6000), plane)
    assert np.array_equal(pixels_of(target)[0], GREY12)


def test_a_segmented_palette_is_expanded(tmp_path, target):
    ds = palettes(header(GREY, PhotometricInterpretation="PALETTE COLOR"), segmented=True)
    ds.add_new("PixelData", "OB", GREY.tobytes())

    made = rendition(save(tmp_path / "object.dcm", ds, EXPLICIT), target)

    red = np.frombuffer(made.RedPaletteColorLookupTableData, "<u2")
    assert (len(red), red[0], red[255]) == (256, 0, 0xFF00)
    assert "SegmentedRedPaletteColorLookupTableData" not in made
    assert made.PhotometricInterpretation == "PALETTE COLOR"
    assert np.array_equal(pixels_of(target)[0], GREY)


def test_double_floats_become_floats(tmp_path, target):
    values = np.linspace(-3, 1e6, 16)
    ds = header(values.reshape(4, 4))
    ds.add_new("DoubleFloatPixelData", "OD", values.astype("<f8").tobytes())

    made = rendition(save(tmp_path / "object.dcm", ds, EXPLICIT), target)

    assert np.frombuffer(made.FloatPixelData, "<f4").tolist() == values.astype("f4").tolist()
    assert made.BitsAllocated == 32


def test_double_floats_beyond_a_float_are_a_stated_failure(tmp_path, target):
    ds = header(np.zeros((2, 2)))
    ds.add_new("DoubleFloatPixelData", "OD", np.full(4, 1e300, "<f8").tobytes())

    outcome = render(save(tmp_path / "object.dcm", ds, EXPLICIT), target)

    assert outcome.action is Action.FAIL
    assert not target.exists()


def test_lossy_sources_stay_marked_as_lossy(tmp_path, target):
    source = encapsulated(tmp_path / "object.dcm", GREY12, f"{P}.4.51",
                          [jpeg(GREY12, bitspersample=12)], BitsStored=12,
                          LossyImageCompression="00")  # fmt: skip

    made = rendition(source, target)

    assert made.LossyImageCompression == "01"
    assert made.LossyImageCompressionMethod == "ISO_10918_1"


def test_the_lossy_mark_follows_the_codestream_not_the_syntax(tmp_path, target):
    lossy, lossless = jls(COLOUR8, near=2), jls(COLOUR8)
    near = encapsulated(tmp_path / "a.dcm", COLOUR8, f"{P}.4.81", [lossy],
                        PlanarConfiguration=1)  # fmt: skip
    exact = encapsulated(tmp_path / "b.dcm", COLOUR8, f"{P}.4.81", [lossless],
                         PlanarConfiguration=1)  # fmt: skip

    made = rendition(near, target)

    assert (made.LossyImageCompression, made.LossyImageCompressionMethod) == ("01", "ISO_14495_1")
    assert "LossyImageCompression" not in rendition(exact, target)


@pytest.mark.parametrize("marked", ["01", None])
def test_the_mark_of_an_earlier_lossy_compression_is_kept(tmp_path, target, marked):
    marks = {"LossyImageCompression": marked} if marked else {}
    source = native(tmp_path / "object.dcm", SIGNED8, **marks)

    assert rendition(source, target).get("LossyImageCompression") == marked


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_other_elements_survive_byte_for_byte(tmp_path, target, syntax):
    ds = header(SIGNED8, SpecificCharacterSet="GB18030")
    item = Dataset()
    item.StudyDescription = "nested"
    item.add_new("ReferencedFrameNumber", "IS", [1, 2])
    ds.ReferencedImageSequence = Sequence([item])
    block = ds.private_block(0x0041, "SOMEONE 1.0", create=True)
    block.add_new(1, "LO", "private")
    ds.WindowCenter, ds.ImagerPixelSpacing = "40.50 ", ["0.10", "0.1000"]
    ds.add_new("TagAngleSecondAxis", "SS", -7)
    ds.add_new("PixelData", "OB", SIGNED8.tobytes())
    source = save(tmp_path / "object.dcm", ds, syntax)
    source.write_bytes(source.read_bytes().replace(b"Nobody^Knows", b"Nob\xffdy^Kn\x81ws"))

    made = rendition(source, target)

    assert made.get_item("PatientName").value == b"Nob\xffdy^Kn\x81ws"
    assert made.get_item("WindowCenter").value == b"40.50 "
    assert made.get_item("ImagerPixelSpacing").value == b"0.10\\0.1000 "
    assert made.ReferencedImageSequence[0].StudyDescription == "nested"
    assert made.ReferencedImageSequence[0].ReferencedFrameNumber == [1, 2]
    assert made.TagAngleSecondAxis == -7
    assert made[0x0041, 0x0010].value == "SOMEONE 1.0"
    private = made[0x0041, 0x1001].value
    assert private in {"private", b"private "}


def test_the_copy_keeps_the_instance_says_what_it_is_and_drops_signatures(tmp_path, target):
    ds = header(SIGNED8, DerivationDescription="averaged")
    ds.DigitalSignaturesSequence = Sequence([Dataset()])
    ds.add_new("PixelData", "OB", SIGNED8.tobytes())

    made = rendition(save(tmp_path / "object.dcm", ds, EXPLICIT), target)

    assert made.SOPInstanceUID == "1.2.3.4.5"
    assert made.DerivationDescription == (
        "averaged; Display copy of the same SOP Instance (eight-bit-signed)"
    )
    assert "DigitalSignaturesSequence" not in made
    assert made.file_meta.ImplementationClassUID == IMPLEMENTATION_CLASS_UID


def test_an_un_element_of_undefined_length_is_written_as_the_sequence_it_is(tmp_path, target):
    ds = header(GREY)
    ds.add_new("PixelData", "OB", GREY.tobytes())
    source = save(tmp_path / "object.dcm", ds, EXPLICIT)
    whole = source.read_bytes()
    item = b"\x08\x00\x55\x11\x04\x00\x00\x001.2 "
    sequence = b"\xfe\xff\x00\xe0\xff\xff\xff\xff" + item + b"\xfe\xff\x0d\xe0" + bytes(4)
    un = b"\x08\x00\x40\x11UN\0\0\xff\xff\xff\xff" + sequence + b"\xfe\xff\xdd\xe0" + bytes(4)
    at = whole.index(b"\x10\x00\x10\x00PN")
    source.write_bytes(whole[:at] + un + whole[at:])

    made = rendition(source, target)

    assert made.file_meta.TransferSyntaxUID == EXPLICIT
    assert made.ReferencedImageSequence[0].ReferencedSOPInstanceUID == "1.2"


def test_an_element_with_an_unknown_vr_is_written_as_un(tmp_path, target):
    source = native(tmp_path / "object.dcm", GREY, InstitutionName="Somewhere")
    whole = source.read_bytes()
    source.write_bytes(whole.replace(b"\x08\x00\x80\x00LO", b"\x08\x00\x80\x00B?"))

    made = rendition(source, target)

    assert made.get_item("InstitutionName").VR == "UN"
    assert made.get_item("InstitutionName").value == b"Somewhere "


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


def test_frames_that_are_coded_in_different_ways_become_alike(tmp_path, target):
    frames = [jls(COLOUR8), jls(COLOUR8[::-1], planar=True)]
    source = encapsulated(tmp_path / "object.dcm", COLOUR8, JPEG_LS_LOSSLESS, frames,
                          NumberOfFrames=2)  # fmt: skip

    rendition(source, target)

    assert np.array_equal(pixels_of(target), np.stack([COLOUR8, COLOUR8[::-1]]))


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


def test_a_mask_that_no_decoder_takes_is_kept_and_said_to_be_unchecked(tmp_path, target):
    mask = np.packbits(GREY[:32, :40] > 99, axis=1)
    source = encapsulated(tmp_path / "object.dcm", GREY[:32, :40], f"{P}.5", [rle(mask)],
                          SOPClassUID=LABEL_MAP, BitsAllocated=1, BitsStored=1)  # fmt: skip

    outcome = render(source, target)

    assert (outcome.action, outcome.frames) == (Action.KEEP, None)
    assert "not decoded" in outcome.reason


@pytest.mark.parametrize("syntax", [f"{P}.8.1", f"{P}.1.98"])
def test_a_frame_with_more_bytes_than_a_frame_is_a_stated_failure(tmp_path, target, syntax):
    frame = ALL_BITS[syntax](np.stack([GREY, GREY]))

    outcome = render(encapsulated(tmp_path / "object.dcm", GREY, syntax, [frame]), target)

    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.UNREADABLE_OBJECT


def test_video_is_accounted_for(tmp_path, target):
    source = encapsulated(tmp_path / "object.dcm", GREY, f"{P}.4.102", [b"\0\0\0\1stream"])

    outcome = render(source, target)

    assert outcome.action is Action.EXTRACT_VIDEO
    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.MISSING_EXTRA


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

    monkeypatch.setattr(transcode, "write_object", refuse)

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


def raw_pixel_data(path: Path, value: bytes, declared: int, **attributes: object) -> Path:
    """An object whose pixel data declares another length than it has."""
    save(path, header(GREY16, **attributes), EXPLICIT)
    element = b"\xe0\x7f\x10\x00OW\0\0" + declared.to_bytes(4, "little") + value
    path.write_bytes(path.read_bytes() + element)
    return path


def nested(path: Path, depth: int) -> Path:
    save(path, header(GREY16), EXPLICIT)
    opening = b"\x40\x00\x30\xa7SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    path.write_bytes(path.read_bytes() + opening * depth)
    return path


HOSTILE = {
    "nothing": lambda p: p.write_bytes(b"") or None,
    "noise": lambda p: p.write_bytes(np.random.default_rng(3).bytes(5000)) or None,
    "truncated": lambda p: raw_pixel_data(p, GREY16.tobytes()[:-9], GREY16.nbytes),
    "8 GB in a tiny file": lambda p: raw_pixel_data(p, b"tiny", 4, Rows=65535, Columns=65535),
    "8 GB in a JPEG-LS": lambda p: encapsulated(
        p, GREY16, JPEG_LS_LOSSLESS, [jls(GREY16)], Rows=65535, Columns=65535),
    "many frames": lambda p: encapsulated(
        p, GREY, JPEG_LS_LOSSLESS, [jls(GREY)], NumberOfFrames=2**31 - 1),
    "3 GB declared": lambda p: raw_pixel_data(
        p, bytes(100_000), 3 << 30, Rows=30000, Columns=50000),
    "no value": lambda p: raw_pixel_data(p, b"", 0),
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


def test_a_false_length_of_complete_pixels_is_repaired(tmp_path, target):
    source = raw_pixel_data(tmp_path / "object.dcm", GREY16.tobytes(), 3 << 30)

    assert rendition(source, target).PixelData == GREY16.tobytes()


def test_reasons_hold_no_patient_data(tmp_path, target):
    for name, make in HOSTILE.items():
        make(tmp_path / name.replace(" ", "-"))
        outcome = render(tmp_path / name.replace(" ", "-"), target)
        assert "Nobody" not in f"{outcome}"


def test_pydicom_s_warnings_which_quote_values_reach_no_log(tmp_path, target, caplog):
    source = encapsulated(tmp_path / "object.dcm", COLOUR8, EXPLICIT, [jpeg(COLOUR8)])
    whole = source.read_bytes()
    source.write_bytes(whole.replace(b"\x10\x00\x10\x00PN", b"\x10\x00\x10\x00??"))
    for path in (source, *(path for path in BUNDLED if path.name == "SC_rgb_jpeg.dcm")):
        render(path, target)

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

    assert all(isinstance(outcome, transcode.Outcome) for outcome in outcomes)


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


def test_elements_of_pixels_are_written_with_undefined_length(tmp_path, target):
    made = rendition(native(tmp_path / "object.dcm", SIGNED8), target)

    element = made["PixelData"]
    assert isinstance(element, DataElement)
    assert element.is_undefined_length
