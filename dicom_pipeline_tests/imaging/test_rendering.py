import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from dicom_pipeline.imaging.outcomes import Action, ErrorCode, ImagingError
from dicom_pipeline.imaging.rendering import LEFT_TO_THEIR_LOADERS, decide
from dicom_pipeline.imaging.rules import IMAGE_RULES
from dicom_pipeline.imaging.transfer_syntaxes import TRANSFER_SYNTAXES, Family
from dicom_pipeline_tests.imaging.images import (
    ALL_BITS,
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    P,
    deflated,
    encapsulated,
    header,
    htj2k,
    j2k,
    jls,
    jpeg,
    jpeg_without_app_segments,
    jxl,
    native,
    noise,
    palettes,
    rle,
    save,
)

GREY, SIGNED8 = noise("u1", 0, 255), noise("i1", -128, 127)
GREY12, GREY16 = noise("u2", 0, 4095), noise("u2", 0, 65535)
SIGNED16 = noise("i2", -2000, 2000)
COLOUR, COLOUR16 = noise("u1", 0, 255, colour=True), noise("u2", 0, 65535, colour=True)
BARE = jpeg_without_app_segments(jpeg(COLOUR))
Maker = Callable[[Path], Path]


def lossless(pixels: np.ndarray, predictor: int) -> bytes:
    bits = pixels.dtype.itemsize * 8
    return jpeg(pixels, lossless=True, predictor=predictor, bitspersample=bits)


def shifted(frame: bytes) -> bytes:
    """A lossless JPEG whose scan header says that its pixels were shifted by one bit."""
    scan = frame.index(b"\xff\xda")
    end = scan + 2 + int.from_bytes(frame[scan + 2 : scan + 4], "big")
    return frame[: end - 1] + b"\x01" + frame[end:]


def without_file_meta(path: Path) -> Path:
    whole = native(path, GREY).read_bytes()
    path.write_bytes(whole[whole.index(b"\x08\x00\x16\x00") :])
    return path


def unknown_character_set(path: Path) -> Path:
    whole = native(path, GREY, SpecificCharacterSet="ISO_IR 192").read_bytes()
    path.write_bytes(whole.replace(b"ISO_IR 192", b"ISO_IR 203"))
    return path


def float64(path: Path) -> Path:
    ds = header(np.zeros((4, 4)))
    ds.add_new("DoubleFloatPixelData", "OD", np.linspace(0, 1, 16).astype("<f8").tobytes())
    return save(path, ds, EXPLICIT)


def float32(path: Path, low: float, high: float, **attributes: int) -> Path:
    ds = header(np.zeros((4, 4), "f4"), **{"PixelRepresentation": None, **attributes})
    ds.add_new("FloatPixelData", "OF", np.linspace(low, high, 16).astype("<f4").tobytes())
    return save(path, ds, EXPLICIT)


def one_component_scanned(frame: bytes) -> bytes:
    """A JPEG whose first scan is said to be of one component of three."""
    scan = frame.index(b"\xff\xda")
    end = scan + 2 + int.from_bytes(frame[scan + 2 : scan + 4], "big")
    head = b"\xff\xda\0\x08\x01" + frame[scan + 5 : scan + 7] + frame[end - 3 : end]
    return frame[:scan] + head + frame[end:]


def palette(path: Path) -> Path:
    return indexed(path, segmented=True)


def indexed(
    path: Path, *, segmented: bool = False, without: str | None = None, red: int | None = None
) -> Path:
    ds = palettes(header(GREY, PhotometricInterpretation="PALETTE COLOR"), segmented=segmented)
    if red is not None:
        ds.RedPaletteColorLookupTableData = bytes([red]) * 512
    if without is not None:
        delattr(ds, without)
    ds.add_new("PixelData", "OB", GREY.tobytes())
    return save(path, ds, EXPLICIT)


def padded(path: Path) -> Path:
    ds = header(GREY)
    ds.add_new("PixelData", "OW", GREY.tobytes() + bytes(8))
    return save(path, ds, EXPLICIT)


def subsampled(path: Path) -> Path:
    ds = header(COLOUR, PhotometricInterpretation="YBR_FULL_422")
    ds.add_new("PixelData", "OB", COLOUR[..., :2].tobytes())
    return save(path, ds, EXPLICIT)


TRANSCODED: list[tuple[str, Maker]] = [
    ("container", without_file_meta),
    ("attributes-missing", lambda p: native(p, GREY16, PixelRepresentation=None)),
    ("attributes-missing", lambda p: native(
        p, COLOUR, PlanarConfiguration=None, PhotometricInterpretation="YBR_FULL")),
    ("character-set", unknown_character_set),
    ("float-with-sign", lambda p: float32(p, 0.5, 7, PixelRepresentation=0)),
    ("double-float", float64),
    ("syntax-never", lambda p: encapsulated(p, GREY, f"{P}.4.52", [jpeg(GREY)])),
    ("syntax-never", lambda p: encapsulated(p, COLOUR, f"{P}.4.55", [jpeg(COLOUR)])),
    ("big-endian", lambda p: native(p, GREY.astype("u4"), BIG_ENDIAN)),
    ("big-endian", lambda p: native(p, GREY, BIG_ENDIAN)),  # bytes in words
    ("fragments-without-offsets", lambda p: encapsulated(
        p, GREY, f"{P}.4.50", [jpeg(GREY)] * 2, offsets=False, fragments=2, NumberOfFrames=2)),
    ("fragments-without-offsets", lambda p: encapsulated(
        p, GREY, f"{P}.4.80", [jls(GREY)] * 2, offsets=False, fragments=2, NumberOfFrames=2,
        ExtendedOffsetTable=np.array([0, 16 + len(jls(GREY))], "<u8").tobytes())),
    *(("planes-unknown", lambda p, label=label: native(
        p, COLOUR, PhotometricInterpretation=label, PlanarConfiguration=1))
      for label in ("YBR_RCT", "YBR_ICT")),
    ("jpeg-lossless-cells", lambda p: encapsulated(
        p, GREY, f"{P}.4.70", [jpeg(GREY, lossless=True, predictor=1)],
        BitsAllocated=32, BitsStored=8)),
    ("jpeg-lossless-cells", lambda p: encapsulated(
        p, GREY16, f"{P}.4.70", [jpeg(GREY16, lossless=True, predictor=1)],
        BitsAllocated=8, BitsStored=8)),
    ("jpeg-lossless-cells", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.70",
        [jpeg(COLOUR, lossless=True, predictor=1, colorspace="RGB", outcolorspace="RGB")],
        BitsAllocated=16, BitsStored=8)),
    ("jpeg-extended-colour", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.51", [jpeg(COLOUR)],
        PhotometricInterpretation="YBR_FULL", PlanarConfiguration=1)),
    ("j2k-planar", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.90", [j2k(COLOUR)],
        PhotometricInterpretation="YBR_FULL", PlanarConfiguration=1)),
    ("one-bit", lambda p: native(
        p, np.zeros((4, 1), "u1"), Columns=8, BitsAllocated=1, BitsStored=1)),
    ("eight-bit-signed", lambda p: native(p, SIGNED8)),
    ("eight-bit-signed", lambda p: encapsulated(p, SIGNED8, f"{P}.1.98", [SIGNED8.tobytes()])),
    ("eight-bit-signed", lambda p: encapsulated(p, SIGNED8, f"{P}.8.1", [deflated(SIGNED8)])),
    ("segmented-palette", palette),
    ("subsampled-native", subsampled),
    ("high-bit", lambda p: native(p, GREY16, BitsStored=12, HighBit=15)),
    ("padding", padded),
    ("stray-bits", lambda p: native(p, GREY12 | 0x8000, BitsStored=12)),
    ("stray-bits", lambda p: native(p, GREY >> 4 | 0x80, BitsStored=4)),
    *(("stray-bits", lambda p, syntax=syntax, coded=coded: encapsulated(
        p, GREY12, syntax, [coded(GREY12), coded(GREY12 | 0x8000)], BitsStored=12,
        NumberOfFrames=2)) for syntax, coded in ALL_BITS.items()),
    *(("high-bit", lambda p, syntax=syntax, coded=coded: encapsulated(
        p, GREY16, syntax, [coded(GREY16)], BitsStored=12, HighBit=15))
      for syntax, coded in ALL_BITS.items()),
    ("rle-32-bit", lambda p: encapsulated(
        p, GREY.astype("u4"), f"{P}.5", [rle(GREY.astype("u4"))])),
    ("rle-16-bit-colour", lambda p: encapsulated(p, COLOUR16, f"{P}.5", [rle(COLOUR16)])),
    ("mislabelled", lambda p: encapsulated(p, GREY16, f"{P}.4.50", [lossless(GREY16, 1)])),
    ("mislabelled", lambda p: encapsulated(p, GREY, f"{P}.4.70", [jpeg(GREY)])),
    ("mislabelled", lambda p: encapsulated(p, GREY, f"{P}.4.80", [jpeg(GREY)])),
    ("jpeg-12-bit", lambda p: encapsulated(
        p, GREY12, f"{P}.4.51", [jpeg(GREY12, bitspersample=12)], BitsStored=12)),
    ("jpeg-rgb-without-marker", lambda p: encapsulated(p, COLOUR, f"{P}.4.50", [BARE])),
    ("jpeg-extended-colour", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.51", [BARE], PhotometricInterpretation="YBR_FULL_422")),
    ("jpeg-lossless-16-bit-colour", lambda p: encapsulated(
        p, COLOUR16, f"{P}.4.70", [lossless(COLOUR16, 1)])),
    ("jpeg-lossless-predictor-7", lambda p: encapsulated(
        p, GREY16, f"{P}.4.57", [lossless(GREY16, 7)])),
    ("jpeg-lossless-point-transform", lambda p: encapsulated(
        p, GREY, f"{P}.4.70", [shifted(lossless(GREY, 1))])),
    ("jpeg-ls-interleave", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.80", [jls(COLOUR)], PlanarConfiguration=1)),
    ("jpeg-ls-interleave", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.80", [jls(COLOUR, planar=True)])),
    ("jpeg-ls-interleave", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.80", [jls(COLOUR), jls(COLOUR, planar=True)], NumberOfFrames=2)),
    ("frames-differ", lambda p: encapsulated(
        p, GREY16, f"{P}.4.80", [jls(GREY16), jls(GREY12, 12)], NumberOfFrames=2)),
    ("frames-differ", lambda p: encapsulated(
        p, GREY16, f"{P}.4.90", [j2k(GREY16), j2k(GREY12, bits=12)], NumberOfFrames=2)),
    ("j2k-sign", lambda p: encapsulated(
        p, GREY16, f"{P}.4.90", [j2k(GREY16), j2k(SIGNED16)], NumberOfFrames=2)),
    ("j2k-sign", lambda p: encapsulated(p, GREY16, f"{P}.4.90", [j2k(SIGNED16)])),
    ("j2k-more-than-16-bits", lambda p: encapsulated(
        p, GREY.astype("u4"), f"{P}.4.90", [j2k(GREY.astype("u4"), bits=20)])),
    ("wide-colour-converted", lambda p: encapsulated(
        p, COLOUR16, f"{P}.4.90", [j2k(COLOUR16, mct=True)], PhotometricInterpretation="YBR_RCT")),
    ("wide-colour-converted", lambda p: native(p, COLOUR16, PlanarConfiguration=1)),
    ("subsampled-by-label", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.80", [jls(COLOUR)], PhotometricInterpretation="YBR_FULL_422")),
    ("unknown-colour", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.112", [jxl(COLOUR)], PhotometricInterpretation="XYB")),
    ("htj2k-without-transform", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.201", [htj2k(COLOUR, mct=False)])),
    ("uneven-frames", lambda p: native(p, np.stack([GREY[:5, :7]] * 3), NumberOfFrames=3)),
    ("odd-colour", lambda p: native(p, COLOUR[:5, :7])),
    ("palette-tables", lambda p: indexed(p, red=0)),
    ("float-between-whole-numbers", lambda p: float32(p, 0, 1)),
    ("signed-32-bit-rounded", lambda p: native(p, np.array([[-(1 << 30) + 1, 5]], "i4"))),
    ("jpeg-shown-otherwise", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.50", [b"\xff\xd8\xff\xe1\0\x08Exif\0\0" + jpeg(COLOUR)[2:]],
        PhotometricInterpretation="YBR_FULL_422")),
    ("jpeg-lossless-scans", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.70", [one_component_scanned(lossless(COLOUR, 1))])),
    ("j2k-transform-labelled-ybr", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.90", [j2k(COLOUR, mct=True)], PhotometricInterpretation="YBR_FULL")),
    ("j2k-planar", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.90", [j2k(COLOUR)], PlanarConfiguration=1)),
    ("jxl-colour-label", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.110", [jxl(COLOUR)], PhotometricInterpretation="YBR_FULL")),
]  # fmt: skip

LABELS = [(COLOUR, None), (COLOUR, "MONOCHROME2"), (COLOUR, "PALETTE COLOR"), (COLOUR, "HSV"),
          (GREY, None), (GREY, "RGB"), (GREY, "YBR_FULL"), (GREY, "MONOCHROME3")]  # fmt: skip
TWO = np.stack([GREY, GREY[::-1]])

FAILED: list[tuple[str, Maker]] = [
    *(("colour-contradicts-samples", lambda p, pixels=pixels, label=label: native(
        p, pixels, PhotometricInterpretation=label)) for pixels, label in LABELS),
    ("colour-contradicts-samples", lambda p: encapsulated(
        p, GREY, f"{P}.4.80", [jls(GREY)], PhotometricInterpretation=None)),
    ("palette-missing", lambda p: native(p, GREY, PhotometricInterpretation="PALETTE COLOR")),
    ("palette-missing", lambda p: indexed(p, without="GreenPaletteColorLookupTableData")),
    ("palette-missing", lambda p: indexed(p, without="BluePaletteColorLookupTableDescriptor")),
    ("palette-missing", lambda p: indexed(
        p, segmented=True, without="SegmentedBluePaletteColorLookupTableData")),
    ("more-frames", lambda p: native(p, TWO.reshape(-1, GREY.shape[1]), Rows=GREY.shape[0])),
    ("more-frames", lambda p: native(
        p, np.concatenate([TWO, TWO[:1]]), NumberOfFrames=2)),
    ("more-frames", lambda p: encapsulated(p, GREY, f"{P}.4.80", [jls(GREY)] * 2)),
    *(("more-frames", lambda p, syntax=syntax, frame=frame: encapsulated(
        p, GREY, syntax, [frame] * 3, offsets=False, NumberOfFrames=1 + (syntax != f"{P}.5")))
      for syntax, frame in {
          f"{P}.4.50": jpeg(GREY), f"{P}.4.90": j2k(GREY), f"{P}.4.201": htj2k(GREY),
          f"{P}.4.110": jxl(GREY), f"{P}.5": rle(GREY), f"{P}.8.1": deflated(GREY),
          f"{P}.1.98": GREY.tobytes()}.items()),
    ("not-subsampled", lambda p: native(p, COLOUR, PhotometricInterpretation="YBR_FULL_422")),
    ("more-than-32-bits", lambda p: native(p, GREY.astype("u8"))),
    ("no-codestream", lambda p: encapsulated(
        p, GREY, f"{P}.4.80", [jls(GREY), b"garbage!"], NumberOfFrames=2)),
]  # fmt: skip

KEPT: list[tuple[str, Maker]] = [
    ("implicit, 8 bit", lambda p: native(p, GREY, IMPLICIT)),
    ("big-endian, 16 bit", lambda p: native(p, GREY16, BIG_ENDIAN)),
    ("big-endian, RGB", lambda p: native(p, COLOUR16, BIG_ENDIAN)),
    ("floats", lambda p: float32(p, 0.5, 7)),
    ("floats that are whole numbers", lambda p: float32(p, 0, 15)),
    ("palette", indexed),
    ("progressive, grey", lambda p: encapsulated(p, GREY, f"{P}.4.55", [jpeg(GREY)])),
    ("JPEG 2000, 16-bit RGB", lambda p: encapsulated(
        p, COLOUR16, f"{P}.4.90", [j2k(COLOUR16, mct=True)])),
    ("HTJ2K, 16-bit RGB", lambda p: encapsulated(p, COLOUR16, f"{P}.4.201", [htj2k(COLOUR16)])),
    ("without PixelRepresentation", lambda p: native(
        p, GREY12, BitsStored=12, PixelRepresentation=None)),
    ("RGB without PlanarConfiguration", lambda p: native(p, COLOUR, PlanarConfiguration=None)),
    ("Chinese", lambda p: native(p, GREY, SpecificCharacterSet=["", "ISO 2022 IR 58"])),
    ("explicit, 12 bit", lambda p: native(p, GREY12, BitsStored=12)),
    ("explicit, signed", lambda p: native(p, SIGNED16)),
    ("explicit, RGB", lambda p: native(p, COLOUR)),
    ("encapsulated uncompressed", lambda p: encapsulated(
        p, GREY16, f"{P}.1.98", [GREY16.tobytes()])),
    ("deflated frame", lambda p: encapsulated(p, GREY16, f"{P}.8.1", [deflated(GREY16)])),
    ("baseline", lambda p: encapsulated(p, GREY, f"{P}.4.50", [jpeg(GREY)])),
    ("baseline, JFIF colour", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.50", [jpeg(COLOUR)], PhotometricInterpretation="YBR_FULL_422")),
    ("baseline, RGB with Adobe marker", lambda p: encapsulated(
        p, COLOUR, f"{P}.4.50", [jpeg(COLOUR, colorspace="RGB", outcolorspace="RGB")])),
    ("lossless", lambda p: encapsulated(p, GREY16, f"{P}.4.70", [lossless(GREY16, 1)])),
    ("JPEG-LS", lambda p: encapsulated(p, GREY16, f"{P}.4.80", [jls(GREY16)])),
    ("JPEG-LS, signed 8 bit", lambda p: encapsulated(
        p, SIGNED8, f"{P}.4.80", [jls(SIGNED8.view("u1"))])),
    ("JPEG 2000", lambda p: encapsulated(p, GREY16, f"{P}.4.90", [j2k(GREY16)])),
    ("JPEG 2000, RGB", lambda p: encapsulated(p, COLOUR, f"{P}.4.90", [j2k(COLOUR)])),
    ("HTJ2K", lambda p: encapsulated(p, GREY16, f"{P}.4.201", [htj2k(GREY16)])),
    ("JPEG XL", lambda p: encapsulated(p, GREY, f"{P}.4.110", [jxl(GREY)])),
    ("RLE", lambda p: encapsulated(p, GREY16, f"{P}.5", [rle(GREY16)])),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "make"), TRANSCODED)
def test_what_the_viewer_shows_wrong_is_transcoded(tmp_path, rule, make):
    decision = decide(make(tmp_path / "object.dcm"))

    assert (decision.action, decision.rule) == (Action.TRANSCODE, rule)
    assert decision.reason


@pytest.mark.parametrize(("name", "make"), KEPT)
def test_what_the_viewer_shows_right_is_kept(tmp_path, name, make):
    assert decide(make(tmp_path / "object.dcm")).action is Action.KEEP


@pytest.mark.parametrize(("rule", "make"), FAILED)
def test_what_has_no_right_pixels_is_a_failure(tmp_path, rule, make):
    decision = decide(make(tmp_path / "object.dcm"))

    assert (decision.action, decision.rule) == (Action.FAIL, rule)
    assert decision.error_code is not None


def test_every_rule_about_images_has_an_example():
    assert {rule for rule, _ in TRANSCODED + FAILED} == {rule.name for rule in IMAGE_RULES}


@pytest.mark.parametrize("uid", LEFT_TO_THEIR_LOADERS)
def test_segmentations_and_whole_slides_are_left_to_their_loaders(tmp_path, uid):
    path = native(tmp_path / "object.dcm", np.zeros((4, 1), "u1"), SOPClassUID=uid, Columns=8,
                  BitsAllocated=1, BitsStored=1)  # fmt: skip

    decision = decide(path)

    assert (decision.action, decision.rule) == (Action.KEEP, LEFT_TO_THEIR_LOADERS[uid])


@pytest.mark.parametrize(
    "uid", [uid for uid, row in TRANSFER_SYNTAXES.items() if row.family is Family.VIDEO]
)
def test_video_is_extracted(tmp_path, uid):
    path = encapsulated(tmp_path / "object.dcm", COLOUR, uid, [b"\0\0\0\1stream"])

    assert decide(path).action is Action.EXTRACT_VIDEO


def test_an_object_without_image_attributes_has_no_pixels(tmp_path):
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.3"

    assert decide(save(tmp_path / "report.dcm", ds, EXPLICIT)).action is Action.NO_PIXELS


@pytest.mark.parametrize("kept", [{}, {"Rows": None}, {"SOPClassUID": "1.2.3"}])
def test_an_image_object_without_pixel_data_is_a_failure(tmp_path, kept):
    decision = decide(save(tmp_path / "object.dcm", header(GREY, **kept), EXPLICIT))

    assert (decision.action, decision.error_code) == (Action.FAIL, ErrorCode.TRUNCATED)


def test_a_broken_file_is_not_taken_for_one_without_pixels(tmp_path):
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.88.11", "1.2.3"
    path = save(tmp_path / "report.dcm", ds, EXPLICIT)
    path.write_bytes(path.read_bytes() + b"\x10\x00\x10\x00??\x04\x00who ")

    decision = decide(path)

    assert (decision.action, decision.rule) == (Action.FAIL, "broken")


@pytest.mark.parametrize("uid", [f"{P}.4.94", f"{P}.6.1", f"{P}.7.1", "1.2.3.4.5.6"])
def test_a_syntax_without_frames_or_unknown_is_a_stated_failure(tmp_path, uid):
    decision = decide(native(tmp_path / "object.dcm", GREY, uid))

    assert (decision.action, decision.error_code) == (Action.FAIL, ErrorCode.UNSUPPORTED_SYNTAX)


@pytest.mark.parametrize("syntax", [f"{P}.4.50", f"{P}.4.80", f"{P}.4.90", f"{P}.4.201"])
def test_a_frame_without_a_header_is_a_stated_failure(tmp_path, syntax):
    decision = decide(encapsulated(tmp_path / "object.dcm", GREY, syntax, [b"garbage!"]))

    assert (decision.action, decision.rule) == (Action.FAIL, "no-codestream")


def test_native_pixels_under_a_compressed_syntax_are_refused(tmp_path):
    path = native(tmp_path / "object.dcm", GREY, f"{P}.4.50")

    with pytest.raises(ImagingError, match="not encoded as JPEG Baseline"):
        decide(path)


def test_compressed_pixels_under_a_native_syntax_are_refused(tmp_path):
    path = encapsulated(tmp_path / "object.dcm", GREY16, EXPLICIT, [jls(GREY)[:400]])

    with pytest.raises(ImagingError):
        decide(path)


def test_native_pixels_that_begin_like_a_fragment_are_kept(tmp_path):
    pixels = GREY16.copy()
    pixels[0, :2] = struct.unpack("<2H", b"\xfe\xff\x00\xe0")

    assert decide(native(tmp_path / "object.dcm", pixels)).action is Action.KEEP
