"""The decoder of each family of transfer syntaxes: one codestream in, the pixels of one frame out.

A decoder that fills up a truncated stream with grey would call a damaged image good. So JPEG-LS is
checked by GDCM, which refuses truncated streams; JPEG 2000 and HTJ2K are decoded by OpenJPEG in its
strict mode; JPEG XL by libjxl. libjpeg-turbo only warns, and the warning is lost on the way: a JPEG
must have its end marker, and of one that is coded by Huffman it is found out whether the scan in
front of that marker is whole. Of arithmetic JPEG no decoder here notices a scan that was cut short
and closed with an end marker again.
"""

import struct
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import imagecodecs
import numpy as np
import openjpeg
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGLossless, JPEGLSLossless, RLELossless
from rle.rle import decode_segment

from dicom_pipeline.imaging.codestream import (
    JPEG_END,
    JpegHeader,
    closed,
    jpeg2000_ends,
    jpeg2000_header,
    jpeg_header,
    jpeg_length,
)
from dicom_pipeline.imaging.frames import native_frames
from dicom_pipeline.imaging.image import COLOUR_SAMPLES, Image
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.samples import (
    Pixels,
    from_cells,
    native_cells,
    one_bit_cells,
    pixel_values,
    to_rgb,
)
from dicom_pipeline.imaging.transfer_syntaxes import JPEG_XL_RECOMPRESSION, Family

GDCM: Final = "python-gdcm"
IMAGECODECS: Final = "imagecodecs"
OPENJPEG: Final = "pylibjpeg-openjpeg"
RLE: Final = "pylibjpeg-rle"
NUMPY: Final = "numpy"
ZLIB: Final = "zlib"

_BYTE: Final = 8
_WORD: Final = 16
_RLE_HEADER: Final = struct.Struct("<16L")
"""The number of segments and where each begins (PS3.5 G.5)."""
_HUFFMAN: Final = frozenset({0xC0, 0xC1, 0xC2, 0xC3})
_MORE_BITS: Final = tuple(
    bytes(flip ^ number * 37 % 251 for number in range(1, 251)) for flip in (0, 0xFF)
)
"""Two runs of bits, each the contrary of the other, without a byte FF."""
_ENDS_EARLY: Final = (
    "NEED_MORE_INPUT",
    "end of the data",
    "not long enough",
    "segment length does not match",  # too short: what is too long is cut
)
"""Words of libjxl and of the RLE decoder for a stream that is cut."""
_HTJ2K_CAPABILITIES: Final = b"\xff\x50"
"""The CAP marker (T.814 A.3), which stands near the beginning."""
_MAIN_HEADER: Final = 1024
_HIERARCHICAL: Final = frozenset({0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF})
_LOSSLESS_ARITHMETIC: Final = 0xCB


class Encoded(NamedTuple):
    """One frame to decode, with what the object says about it."""

    frame: bytes
    number: int
    """From 0."""
    image: Image
    syntax_uid: str


class Codec(NamedTuple):
    """A decoder and the library that it is."""

    library: str
    decode: Callable[[Encoded], Pixels]


def library_version(library: str) -> str:
    """The version of a decoder that is named in an outcome."""
    return zlib.ZLIB_RUNTIME_VERSION if library == ZLIB else version(library)


def decode_frame(codec: Codec, encoded: Encoded) -> Pixels:
    """The pixels of a frame; whatever a codec raises is told as the frame's error.

    Raises:
        ImagingError: the frame is truncated, damaged, or not what the object says.
        MemoryError: the process may use less memory than the decoder needs.
    """
    image = encoded.image
    try:
        pixels = codec.decode(encoded)
    except (MemoryError, ImagingError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # Codecs raise their own classes, and the panic of the RLE decoder is not even an Exception.
        cut = codec.library == OPENJPEG and not jpeg2000_ends(encoded.frame)
        cut = cut or any(words in str(error) for words in _ENDS_EARLY)
        raise ImagingError(
            ErrorCode.TRUNCATED if cut else ErrorCode.DECODER_ERROR,
            f"frame {encoded.number}: {codec.library} refused it ({type(error).__name__})",
            codec.library,
        ) from error
    expected = (image.rows, image.columns, *((image.samples,) if image.colour else ()))
    if pixels.shape != expected:
        raise _other_size(encoded, pixels.shape, expected, codec.library)
    return pixels


def _other_size(
    encoded: Encoded, found: tuple[int, ...], expected: tuple[int, ...], library: str | None = None
) -> ImagingError:
    return ImagingError(
        ErrorCode.DECODER_ERROR,
        f"frame {encoded.number}: the codestream is {found}, the object says {expected}",
        library,
    )


def _values(cells_of: Callable[[Encoded], Pixels], encoded: Encoded) -> Pixels:
    cells = cells_of(encoded)
    return cells if encoded.image.bits_allocated == 1 else from_cells(cells, encoded.image)


def _from_codestream(samples: Pixels, precision: int, image: Image) -> Pixels:
    """Pixel values of samples whose width the codestream knows, and whose sign the object.

    Some encoders write samples as wide as the cells. Their sign is still the bit at HighBit.
    """
    if not image.signed and samples.dtype.kind == "u":
        return samples
    bits = min(precision, image.bits_stored) if image.signed else precision
    return pixel_values(samples, bits=bits, high_bit=bits - 1, signed=image.signed)


def _encapsulated_native(encoded: Encoded) -> Pixels:
    image = encoded.image._replace(frames=1)
    (frame,) = native_frames(encoded.frame, image)
    if len(encoded.frame) - len(frame) > 1:  # one byte makes the length even
        raise ImagingError(
            ErrorCode.UNREADABLE_OBJECT,
            f"frame {encoded.number} has more than the {len(frame)} bytes of a frame",
            NUMPY,
        )
    if image.bits_allocated == 1:
        return one_bit_cells(frame, image, 0)
    return native_cells(frame, image, big_endian=False)


def _deflated_frame(encoded: Encoded) -> Pixels:
    """A frame that is one raw deflate stream (PS3.5 A.4.13)."""
    needed = (encoded.image.frame_bits + 7) // 8
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    inflated = inflater.decompress(encoded.frame, needed + 2)
    if len(inflated) < needed:
        raise ImagingError(
            ErrorCode.TRUNCATED, f"frame {encoded.number}: inflates to {len(inflated)} bytes", ZLIB
        )
    return _encapsulated_native(encoded._replace(frame=inflated))


def _rle(encoded: Encoded) -> Pixels:
    image = encoded.image
    segments, *offsets = _RLE_HEADER.unpack_from(encoded.frame.ljust(_RLE_HEADER.size, b"\0"))
    if offsets[0] == _RLE_HEADER.size and max(offsets[:segments]) >= len(encoded.frame):
        raise ImagingError(
            ErrorCode.TRUNCATED, f"frame {encoded.number}: a segment lies behind its end", RLE
        )
    if image.bits_allocated > 1:
        return _by_pydicom(encoded, str(RLELossless), "pylibjpeg", image.bits_allocated)
    # Packed bits are one segment of bytes.
    packed = decode_segment(encoded.frame[_RLE_HEADER.size :])
    if len(packed) * 8 < image.frame_bits:
        raise ImagingError(
            ErrorCode.TRUNCATED, f"frame {encoded.number}: {len(packed)} bytes of bits", RLE
        )
    return one_bit_cells(packed, image, 0)


def _jpeg_family(encoded: Encoded) -> Pixels:
    """Any JPEG by what its own header says it is, whatever the transfer syntax says."""
    header = jpeg_header(encoded.frame)
    if header is None:
        raise ImagingError(ErrorCode.DECODER_ERROR, f"frame {encoded.number}: no JPEG header")
    length = jpeg_length(encoded.frame)
    if not length and closed(encoded.frame):
        raise ImagingError(
            ErrorCode.DECODER_ERROR, f"frame {encoded.number}: markers that lead past its end"
        )
    if not length:
        raise ImagingError(ErrorCode.TRUNCATED, f"frame {encoded.number}: no end marker")
    if header.sof in _HIERARCHICAL or header.sof == _LOSSLESS_ARITHMETIC:
        raise ImagingError(
            ErrorCode.UNSUPPORTED_SYNTAX,
            f"frame {encoded.number}: JPEG process of marker FF{header.sof:02X} has no decoder",
        )
    found = (header.rows, header.columns)
    expected = (encoded.image.rows, encoded.image.columns)
    if header.rows and found != expected:
        # GDCM believes the object: it cuts a larger frame, and for a smaller one ends the process.
        raise _other_size(encoded, found, expected)
    encoded = encoded._replace(frame=encoded.frame[:length])
    if header.jpeg_ls:
        return _jpeg_ls(encoded, header)
    if header.lossless:
        return _jpeg_lossless(encoded, header)
    return _jpeg_dct(encoded, header)


def _jpeg_dct(encoded: Encoded, header: JpegHeader) -> Pixels:
    samples = _libjpeg(encoded, header, header.colour(encoded.image.photometric))
    return _from_codestream(samples, header.precision, encoded.image)


def _jpeg_lossless(encoded: Encoded, header: JpegHeader) -> Pixels:
    try:
        cells = _libjpeg(encoded, header, "RGB")  # as it is: lossless JPEG has no colour transform
    except imagecodecs.Jpeg8Error:
        if header.precision < _BYTE:  # GDCM ends the process
            raise
        cells = _by_pydicom(encoded, str(JPEGLossless), "gdcm", header.precision)
    values = _from_codestream(cells, header.precision, encoded.image)
    return to_rgb(values, encoded.image.photometric, encoded.image.bits_stored)


def _libjpeg(encoded: Encoded, header: JpegHeader, colour: str) -> Pixels:
    """What libjpeg-turbo decodes, with three components as RGB, if the scan is whole."""
    frame = encoded.frame  # up to its end marker
    decode: Callable[..., Pixels] = imagecodecs.jpeg8_decode
    if header.components == COLOUR_SAMPLES:
        decode = partial(decode, colorspace=colour, outcolorspace="RGB")
    if header.sof not in _HUFFMAN:
        return decode(frame)
    # libjpeg fills up a scan that was cut short and closed again, and only warns. But bits in
    # front of the end marker are used if some are missing, and only then.
    scan, end = frame[: -len(JPEG_END)], frame[-len(JPEG_END) :]
    samples, again = (decode(scan + bits + end) for bits in _MORE_BITS)
    if not np.array_equal(samples, again):
        raise ImagingError(
            ErrorCode.TRUNCATED, f"frame {encoded.number}: the scan is cut short", IMAGECODECS
        )
    return samples


def _jpeg_ls(encoded: Encoded, header: JpegHeader) -> Pixels:
    if header.precision < _BYTE:
        samples = imagecodecs.jpegls_decode(encoded.frame)
    else:
        samples = _by_pydicom(encoded, str(JPEGLSLossless), "gdcm", header.precision)
    values = _from_codestream(samples, header.precision, encoded.image)
    return to_rgb(values, encoded.image.photometric, encoded.image.bits_stored)


def _jpeg_ls_quickly(encoded: Encoded) -> Pixels:
    header = jpeg_header(encoded.frame)
    assert header is not None
    samples = imagecodecs.jpegls_decode(encoded.frame)
    return _from_codestream(samples, header.precision, encoded.image)


def _by_pydicom(
    encoded: Encoded, syntax_uid: str, plugin: str, precision: int, colour: str = "RGB"
) -> Pixels:
    """The samples of one frame, unsigned and without a conversion of colour."""
    image = encoded.image
    bits = _BYTE if precision <= _BYTE else max(_WORD, image.bits_allocated)
    attributes: dict[str, Any] = {
        "rows": image.rows,
        "columns": image.columns,
        "number_of_frames": 1,
        "samples_per_pixel": image.samples,
        "planar_configuration": 0,
        "photometric_interpretation": colour if image.colour else "MONOCHROME2",
        "bits_allocated": bits,
        "bits_stored": precision,
        "pixel_representation": 0,
        "pixel_keyword": "PixelData",
    }
    pixels, _ = get_decoder(syntax_uid).as_array(
        encapsulate([encoded.frame]), raw=True, decoding_plugin=plugin, **attributes
    )
    return pixels


def _jpeg_2000(encoded: Encoded) -> Pixels:
    header = jpeg2000_header(encoded.frame)
    if header is None:
        raise ImagingError(ErrorCode.DECODER_ERROR, f"frame {encoded.number}: no JPEG 2000 header")
    if not jpeg2000_ends(encoded.frame):
        # OpenJPEG makes pixels of anything that stands where code-blocks should.
        raise ImagingError(ErrorCode.TRUNCATED, f"frame {encoded.number}: no end marker", OPENJPEG)
    samples = _openjpeg(encoded.frame)
    values = _from_codestream(samples, header.precision, encoded.image)
    # The inverse of the multiple component transform gives RGB, whatever the label says.
    photometric = "RGB" if header.multiple_component_transform else encoded.image.photometric
    return to_rgb(values, photometric, encoded.image.bits_stored)


def _openjpeg(frame: bytes) -> Pixels:
    try:
        return np.ascontiguousarray(openjpeg.decode(frame))  # type: ignore[attr-defined]
    except RuntimeError:
        # OpenJPEG takes no HTJ2K of 32 bits. OpenJPH does, but fills up what is missing.
        if _HTJ2K_CAPABILITIES not in frame[:_MAIN_HEADER] or not jpeg2000_ends(frame):
            raise
        return np.asarray(imagecodecs.htj2k_decode(frame))


def _jpeg_xl(encoded: Encoded) -> Pixels:
    image = encoded.image
    samples = imagecodecs.jpegxl_decode(encoded.frame)
    precision = min(image.bits_stored, samples.dtype.itemsize * 8)
    values = pixel_values(samples, bits=precision, high_bit=precision - 1, signed=image.signed)
    # A recompressed JPEG comes out of libjxl as RGB.
    recompressed = encoded.syntax_uid == JPEG_XL_RECOMPRESSION
    photometric = "RGB" if recompressed else image.photometric
    return to_rgb(values, photometric, image.bits_stored)


CELL_CODECS: Final[Mapping[Family, Codec]] = {
    Family.ENCAPSULATED_NATIVE: Codec(NUMPY, _encapsulated_native),
    Family.DEFLATED_FRAMES: Codec(ZLIB, _deflated_frame),
    Family.RLE: Codec(RLE, _rle),
}
"""Give pixel cells with all their bits."""
CODECS: Final[Mapping[Family, Codec]] = {
    **{
        family: codec._replace(decode=partial(_values, codec.decode))
        for family, codec in CELL_CODECS.items()
    },
    Family.JPEG: Codec(IMAGECODECS, _jpeg_family),
    Family.JPEG_LOSSLESS: Codec(IMAGECODECS, _jpeg_family),
    Family.JPEG_LS: Codec(GDCM, _jpeg_family),
    Family.JPEG_2000: Codec(OPENJPEG, _jpeg_2000),
    Family.HTJ2K: Codec(OPENJPEG, _jpeg_2000),
    Family.JPEG_XL: Codec(IMAGECODECS, _jpeg_xl),
}
"""Give pixel values."""
LENIENT_CODECS: Final[Mapping[Family, Codec]] = {
    **CODECS,
    Family.JPEG_LS: Codec(IMAGECODECS, _jpeg_ls_quickly),
}
"""For pixels that are compared afterwards: quicker, but damage may pass."""
