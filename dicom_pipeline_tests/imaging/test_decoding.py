import resource
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from dicom_pipeline.imaging import codecs, objects
from dicom_pipeline.imaging.decoding import decode_frames, largest_frame_bytes
from dicom_pipeline.imaging.image import describe_image
from dicom_pipeline.imaging.objects import open_object
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.transfer_syntaxes import Family
from dicom_pipeline_tests.imaging.images import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    ROWS,
    P,
    deflated,
    deflated_object,
    encapsulated,
    header,
    htj2k,
    j2k,
    jls,
    jpeg,
    jxl,
    native,
    noise,
    rle,
    save,
)

GREY, SIGNED8 = noise("u1", 0, 255), noise("i1", -128, 127)
GREY12, GREY16 = noise("u2", 0, 4095), noise("u2", 0, 65535)
SIGNED16 = noise("i2", -2000, 2000)
COLOUR, COLOUR16 = noise("u1", 0, 255, colour=True), noise("u2", 0, 65535, colour=True)


def decode(path: Path) -> np.ndarray:
    with open_object(path) as source:
        return np.stack(list(decode_frames(source, describe_image(source))))


def lossless_jpeg(pixels: np.ndarray, predictor: int = 1) -> bytes:
    bits = pixels.dtype.itemsize * 8
    return jpeg(pixels, lossless=True, predictor=predictor, bitspersample=bits)


CODECS = {
    f"{P}.1.98": lambda pixels: pixels.tobytes(),
    f"{P}.8.1": deflated,
    f"{P}.4.57": lambda pixels: lossless_jpeg(pixels, 6),
    f"{P}.4.70": lossless_jpeg,
    f"{P}.4.80": jls,
    f"{P}.4.90": j2k,
    f"{P}.4.201": htj2k,
    f"{P}.4.110": jxl,
    f"{P}.5": rle,
}


@pytest.mark.parametrize("syntax", CODECS)
@pytest.mark.parametrize(
    "pixels",
    [GREY, GREY16, SIGNED16, SIGNED8, COLOUR, COLOUR16],
    ids=["u8", "u16", "i16", "i8", "rgb8", "rgb16"],
)
def test_lossless_codecs_give_back_every_pixel(tmp_path, syntax, pixels):
    coded = pixels.view(f"u{pixels.dtype.itemsize}")

    path = encapsulated(tmp_path / "object.dcm", pixels, syntax, [CODECS[syntax](coded)])

    decoded = decode(path)
    assert np.array_equal(decoded[0], pixels)
    assert decoded.dtype == (np.int16 if pixels.dtype == np.int8 else pixels.dtype)


@pytest.mark.parametrize("syntax", [f"{P}.4.90", f"{P}.4.201"])
@pytest.mark.parametrize(("coded", "signed"), [("i2", 0), ("u2", 1)])
def test_the_sign_of_jpeg_2000_is_what_the_data_set_says(tmp_path, syntax, coded, signed):
    pixels = np.arange(-1000, 1000, dtype="i2").reshape(40, 50)
    frame = CODECS[syntax](pixels.astype(coded))

    decoded = decode(encapsulated(tmp_path / "object.dcm", pixels, syntax, [frame],
                                  PixelRepresentation=signed))  # fmt: skip

    assert np.array_equal(decoded[0], pixels.view("i2" if signed else "u2"))


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG_ENDIAN, "1.2.840.10008.1.20",
                                    "1.2.840.113619.5.2"])  # fmt: skip
def test_native_pixels_are_read_in_every_byte_order(tmp_path, syntax):
    pixels = np.stack([GREY16, GREY16[::-1]])

    assert np.array_equal(
        decode(native(tmp_path / "object.dcm", pixels, syntax, NumberOfFrames=2)), pixels
    )


def test_big_endian_words_of_8_bit_pixels_are_put_in_order(tmp_path):
    ds = header(GREY)
    ds.add_new("PixelData", "OW", GREY.tobytes())
    swapped = np.frombuffer(GREY.tobytes(), ">u2").astype("<u2").tobytes()
    ds.PixelData = swapped

    assert np.array_equal(decode(save(tmp_path / "object.dcm", ds, BIG_ENDIAN))[0], GREY)


def test_planes_of_colour_are_interleaved(tmp_path):
    ds = header(COLOUR, PlanarConfiguration=1)
    ds.add_new("PixelData", "OB", COLOUR.transpose(2, 0, 1).tobytes())

    assert np.array_equal(decode(save(tmp_path / "object.dcm", ds, EXPLICIT))[0], COLOUR)


def test_frames_of_one_bit_pixels_follow_without_a_gap(tmp_path):
    bits = np.random.default_rng(1).integers(0, 2, (3, 3, 5)).astype("u1")
    ds = header(bits[0], BitsAllocated=1, BitsStored=1, NumberOfFrames=3)
    ds.add_new("PixelData", "OB", np.packbits(bits.ravel(), bitorder="little").tobytes())

    assert np.array_equal(decode(save(tmp_path / "object.dcm", ds, EXPLICIT)), bits)


def test_bits_around_the_value_are_dropped_and_the_sign_is_kept(tmp_path):
    values = np.array([[-2048, -1, 0, 2047]], "i2")
    cells = ((values.view("u2") & 0x0FFF) << 2) | 0x8003

    path = native(tmp_path / "object.dcm", cells, BitsStored=12, HighBit=13, PixelRepresentation=1)

    assert np.array_equal(decode(path)[0], values)


def test_12_bit_jpeg_is_decoded_without_an_offset(tmp_path):
    flat = np.full((16, 16), 1234, "u2")
    frame = jpeg(flat, bitspersample=12, level=100)

    path = encapsulated(tmp_path / "object.dcm", flat, f"{P}.4.51", [frame], BitsStored=12)

    assert np.abs(decode(path)[0].astype(int) - 1234).max() <= 1


@pytest.mark.parametrize("label", ["YBR_FULL_422", "YBR_FULL"])
def test_colour_jpeg_comes_as_rgb(tmp_path, label):
    red = np.zeros((16, 16, 3), "u1")
    red[..., 0] = 200

    path = encapsulated(tmp_path / "object.dcm", red, f"{P}.4.50", [jpeg(red, level=95)],
                        PhotometricInterpretation=label)  # fmt: skip

    assert np.abs(decode(path)[0].astype(int) - red).max() <= 3


LOSSY = {
    f"{P}.4.50": jpeg,
    f"{P}.4.51": lambda pixels: jpeg(pixels.astype("u2") << 4, bitspersample=12),
}


@pytest.mark.parametrize("syntax", [*CODECS, *LOSSY])
@pytest.mark.parametrize("kept", [0.4, 0.6, 0.95])
def test_a_truncated_frame_is_told_to_be_truncated(tmp_path, syntax, kept):
    pixels = GREY.astype("u2") << 4 if syntax == f"{P}.4.51" else GREY
    frame = ({**CODECS, **LOSSY})[syntax](GREY)
    path = encapsulated(tmp_path / "object.dcm", pixels, syntax, [frame[: int(len(frame) * kept)]])

    with pytest.raises(ImagingError) as refusal:
        decode(path)

    assert refusal.value.code is ErrorCode.TRUNCATED


CLOSED = {
    "baseline": (f"{P}.4.50", GREY, jpeg),
    "colour": (f"{P}.4.50", COLOUR, jpeg),
    "12 bits": (f"{P}.4.51", GREY12, lambda pixels: jpeg(pixels, bitspersample=12)),
    "lossless": (f"{P}.4.70", GREY16, lossless_jpeg),
    "lossless colour": (f"{P}.4.57", COLOUR, lambda pixels: lossless_jpeg(pixels, 6)),
    "JPEG 2000": (f"{P}.4.90", GREY16, j2k),
    "HTJ2K": (f"{P}.4.201", GREY16, htj2k),
}


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("lost", [2, 9, 0.05, 0.5])
def test_a_frame_that_was_cut_and_closed_again_is_found_out(tmp_path, name, lost):
    syntax, pixels, code = CLOSED[name]
    frame = code(pixels)
    cut = frame[: -2 - (lost if isinstance(lost, int) else int(len(frame) * lost))] + b"\xff\xd9"
    label = "YBR_FULL" if name == "colour" else "RGB"
    options = {"PhotometricInterpretation": label} if pixels.ndim == 3 else {}

    with pytest.raises(ImagingError) as refusal:
        decode(encapsulated(tmp_path / "object.dcm", pixels, syntax, [cut], **options))

    assert refusal.value.code is ErrorCode.TRUNCATED


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 1000), quality=st.integers(10, 100), colour=st.booleans())
def test_no_sound_jpeg_is_taken_for_a_cut_one(tmp_path_factory, seed, quality, colour):
    rows, columns = 1 + seed % 40, 1 + seed * 7 % 50
    pixels = noise("u1", 0, 255, colour=colour, seed=seed)[:rows, :columns]
    frame = jpeg(np.ascontiguousarray(pixels), level=quality)
    path = tmp_path_factory.getbasetemp() / "sound.dcm"
    label = "YBR_FULL" if colour else "MONOCHROME2"

    decode(encapsulated(path, pixels, f"{P}.4.50", [frame], PhotometricInterpretation=label))


@pytest.mark.parametrize("syntax", [*CODECS, *LOSSY])
def test_garbage_ends_in_a_stated_failure_or_in_pixels(tmp_path, syntax):
    random = np.random.default_rng(11)
    frame = ({**CODECS, **LOSSY})[syntax](GREY)
    for begun in (0, 20, 100, len(frame) // 2):
        garbage = frame[:begun] + random.bytes(len(frame) - begun)
        try:
            decode(encapsulated(tmp_path / "object.dcm", GREY, syntax, [garbage]))
        except ImagingError as refusal:
            assert refusal.code in {  # noqa: PT017  pixels would do as well
                ErrorCode.TRUNCATED, ErrorCode.DECODER_ERROR, ErrorCode.UNSUPPORTED_SYNTAX,
            }  # fmt: skip


class PanicError(BaseException):
    """What a panic in the Rust code of a decoder comes as."""


def test_a_panic_of_a_decoder_is_told_as_the_frame_s_error(tmp_path, monkeypatch):
    def panic(_):
        raise PanicError

    codec = codecs.CODECS[Family.RLE]
    monkeypatch.setitem(codecs.CODECS, Family.RLE, codec._replace(decode=panic))

    with pytest.raises(ImagingError, match="refused it"):
        decode(encapsulated(tmp_path / "object.dcm", GREY, f"{P}.5", [rle(GREY)]))


def test_fewer_frames_than_promised_are_refused(tmp_path):
    path = encapsulated(tmp_path / "object.dcm", GREY, f"{P}.4.80", [jls(GREY)], NumberOfFrames=1)
    with open_object(path) as source:
        image = describe_image(source)._replace(frames=2)
        with pytest.raises(ImagingError) as refusal:
            list(decode_frames(source, image))

    assert refusal.value.code is ErrorCode.TRUNCATED


def test_a_codestream_of_another_size_is_refused(tmp_path):
    path = encapsulated(tmp_path / "object.dcm", GREY, f"{P}.4.90", [j2k(GREY[:-2])])

    with pytest.raises(ImagingError) as refusal:
        decode(path)

    assert refusal.value.code is ErrorCode.DECODER_ERROR


@pytest.mark.parametrize("rows", [ROWS - 1, ROWS // 2, ROWS + 1, ROWS * 4])
@pytest.mark.parametrize(
    ("syntax", "frame"),
    [
        (f"{P}.4.80", jls(GREY16)),
        (f"{P}.4.70", jpeg(GREY16, lossless=True, predictor=1)),
        (f"{P}.4.90", j2k(GREY16)),
        (f"{P}.4.201", htj2k(GREY16)),
        (f"{P}.4.110", jxl(GREY16)),
    ],
)
def test_a_codestream_of_another_size_than_the_object_s_is_refused(tmp_path, syntax, frame, rows):
    path = encapsulated(tmp_path / "object.dcm", GREY16, syntax, [frame], Rows=rows)

    with pytest.raises(ImagingError, match="the codestream is") as refusal:
        decode(path)

    assert refusal.value.code is ErrorCode.DECODER_ERROR


def test_a_frame_that_cannot_fit_into_memory_is_refused_before_it_is_decoded(tmp_path):
    path = encapsulated(tmp_path / "object.dcm", GREY16, f"{P}.4.80", [jls(GREY16)],
                        Rows=65535, Columns=65535)  # fmt: skip

    with pytest.raises(ImagingError, match="give the workers more memory") as refusal:
        decode(path)

    assert refusal.value.code is ErrorCode.LIMIT_EXCEEDED


def test_the_largest_frame_follows_the_limit_of_the_process(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (800, 800))

    assert largest_frame_bytes() == 100


def test_every_decoder_named_in_an_outcome_has_a_version():
    for library in (codecs.GDCM, codecs.IMAGECODECS, codecs.OPENJPEG, codecs.RLE,
                    codecs.NUMPY, codecs.ZLIB):  # fmt: skip
        assert codecs.library_version(library)[0].isdigit()


# Deflated data sets


def test_a_deflated_data_set_is_inflated(tmp_path):
    assert np.array_equal(decode(deflated_object(tmp_path / "object.dcm", GREY16))[0], GREY16)


def test_a_data_set_that_inflates_without_end_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "INFLATED_LIMIT", 1 << 20)
    path = deflated_object(tmp_path / "object.dcm", np.zeros((2048, 2048), "u1"))
    assert path.stat().st_size < 10_000

    with pytest.raises(ImagingError) as refusal:
        decode(path)

    assert refusal.value.code is ErrorCode.LIMIT_EXCEEDED


def with_another_block_type(whole: bytes) -> bytes:
    """A type that deflate does not know, in the first block after the meta information."""
    start = 144 + int.from_bytes(whole[140:144], "little")
    return whole[:start] + b"\xff" + whole[start + 1 :]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda whole: whole[:-500], ErrorCode.TRUNCATED),
        (with_another_block_type, ErrorCode.UNREADABLE_OBJECT),
    ],
    ids=["cut", "damaged"],
)
def test_a_damaged_deflated_data_set_is_refused(tmp_path, change, code):
    path = deflated_object(tmp_path / "object.dcm", GREY16)
    path.write_bytes(change(path.read_bytes()))

    with pytest.raises(ImagingError) as refusal:
        decode(path)

    assert refusal.value.code is code


# Kinds that some decoders refuse


@pytest.mark.parametrize("bits", [2, 5, 7, 8, 9, 10, 12, 14, 15, 16])
@pytest.mark.parametrize("predictor", range(1, 8))
def test_lossless_jpeg_of_any_precision_and_predictor_is_exact(tmp_path, bits, predictor):
    pixels = noise("u1" if bits <= 8 else "u2", 0, 2**bits - 1)
    frame = jpeg(pixels, lossless=True, predictor=predictor, bitspersample=bits)

    path = encapsulated(tmp_path / "object.dcm", pixels, f"{P}.4.57", [frame], BitsStored=bits)

    assert np.array_equal(decode(path)[0], pixels)


@pytest.mark.parametrize("syntax", [f"{P}.4.70", f"{P}.4.80", f"{P}.4.90", f"{P}.4.110"])
@pytest.mark.parametrize("bits", [9, 10, 12, 14])
def test_the_sign_is_at_high_bit_though_the_codestream_is_wider(tmp_path, syntax, bits):
    values = noise("i2", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    frame = CODECS[syntax](values.view("u2") & (2**bits - 1))

    path = encapsulated(tmp_path / "object.dcm", values, syntax, [frame], BitsStored=bits)

    assert np.array_equal(decode(path)[0], values)


def test_bits_in_rle_are_unpacked(tmp_path):
    mask = (GREY[:30, :45] > 99).astype("u1")  # a frame ends inside a byte
    packed = np.packbits(mask.ravel(), bitorder="little")[None]

    path = encapsulated(tmp_path / "object.dcm", mask, f"{P}.5", [rle(packed)],
                        BitsAllocated=1, BitsStored=1)  # fmt: skip

    assert np.array_equal(decode(path)[0], mask)


def test_htj2k_of_32_bits_is_decoded_if_it_is_whole(tmp_path):
    wide = noise("u4", 0, 2**31)
    whole, cut = htj2k(wide), htj2k(wide)[:-40]

    pixels = decode(encapsulated(tmp_path / "a.dcm", wide, f"{P}.4.201", [whole]))
    with pytest.raises(ImagingError) as refusal:
        decode(encapsulated(tmp_path / "b.dcm", wide, f"{P}.4.201", [cut]))

    assert np.array_equal(pixels[0], wide)
    assert refusal.value.code is ErrorCode.TRUNCATED


def ybr(rgb: np.ndarray, matrix: list[list[float]], black: int, bits: int) -> np.ndarray:
    """RGB as Y, CB, CR by the equations of PS3.3 C.7.6.3.1.2."""
    scale = 2.0 ** (bits - 8)
    coded = rgb.astype(float) @ np.array(matrix).T + np.array([black, 128, 128]) * scale
    return np.clip(np.rint(coded), 0, 2**bits - 1).astype(rgb.dtype)


FULL = [[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]]
PARTIAL = [[0.2568, 0.5041, 0.0979], [-0.1482, -0.291, 0.4392], [0.4392, -0.3678, -0.0714]]


@pytest.mark.parametrize("syntax", [f"{P}.4.80", f"{P}.4.90", f"{P}.5"])
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
@pytest.mark.parametrize(
    ("label", "matrix", "black"),
    [("YBR_FULL", FULL, 0), ("YBR_FULL_422", FULL, 0), ("YBR_PARTIAL_422", PARTIAL, 16)],
)
def test_colour_of_any_depth_is_converted(tmp_path, syntax, bits, label, matrix, black):
    rgb = noise("u1" if bits == 8 else "u2", 0, 2**bits - 1, colour=True)
    coded = ybr(rgb, matrix, black, bits)

    path = encapsulated(tmp_path / "object.dcm", rgb, syntax, [CODECS[syntax](coded)],
                        PhotometricInterpretation=label, BitsStored=bits)  # fmt: skip

    # The coefficients have four digits, and partial colours fewer steps.
    allowed = 2 + 2 ** (bits - 8) // 16
    assert np.abs(decode(path)[0].astype(int) - rgb).max() <= allowed


def test_subsampled_native_colour_of_partial_range_is_converted(tmp_path):
    rgb = np.repeat(noise("u1", 0, 255, colour=True)[:, ::2], 2, axis=1)
    coded = ybr(rgb, PARTIAL, 16, 8)
    pairs = np.stack([coded[:, 0::2, 0], coded[:, 1::2, 0], coded[:, 0::2, 1], coded[:, 0::2, 2]])
    ds = header(rgb, PhotometricInterpretation="YBR_PARTIAL_422")
    ds.add_new("PixelData", "OB", pairs.transpose(1, 2, 0).tobytes())

    pixels = decode(save(tmp_path / "object.dcm", ds, EXPLICIT))[0]

    assert np.abs(pixels.astype(int) - rgb).max() <= 2


SECOND_OPINION = {
    f"{P}.4.50": ("gdcm", JPEGBaseline8Bit),
    f"{P}.4.57": ("gdcm", JPEGLossless),
    f"{P}.4.70": ("gdcm", JPEGLosslessSV1),
    f"{P}.4.80": ("pyjpegls", JPEGLSLossless),
    f"{P}.4.90": ("gdcm", JPEG2000Lossless),
    f"{P}.5": ("pydicom", RLELossless),
}


@pytest.mark.parametrize(
    ("syntax", "pixels"),
    [
        (syntax, pixels)
        for syntax in SECOND_OPINION
        for pixels in (GREY, GREY16, COLOUR, SIGNED16)
        if syntax != f"{P}.4.50" or pixels.dtype.itemsize == 1  # JPEG Baseline has 8 bits
    ],
)
def test_another_decoder_gives_the_same_pixels(tmp_path, syntax, pixels):
    plugin, uid = SECOND_OPINION[syntax]
    coded = pixels.view(f"u{pixels.dtype.itemsize}")
    frame = ({**CODECS, **LOSSY})[syntax](coded)
    label = "YBR_FULL" if syntax == f"{P}.4.50" else "RGB"
    attributes = {"PhotometricInterpretation": label} if pixels.ndim == 3 else {}
    path = encapsulated(tmp_path / "object.dcm", pixels, syntax, [frame], **attributes)

    ours, theirs = decode(path)[0], get_decoder(uid).as_array(
        dcmread(path), decoding_plugin=plugin, raw=label == "RGB"
    )[0]  # fmt: skip

    assert np.abs(ours.astype(int) - theirs).max() <= (3 if label == "YBR_FULL" else 0)
