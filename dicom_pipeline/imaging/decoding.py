"""Decoding every frame of an object in full, with decoders that were measured right.

A decoder that fills up a truncated stream with grey would call a damaged image good. So JPEG,
JPEG lossless and JPEG-LS are checked by GDCM, which refuses truncated streams; JPEG 2000 and HTJ2K
are decoded by OpenJPEG in its strict mode; JPEG XL by libjxl. What GDCM has no decoder for (12-bit
and arithmetic JPEG) must at least have its end marker. No decoder here notices a DCT scan that was
cut short and closed with an end marker again: libjpeg fills it up, and its warning is lost on the
way.
"""

import resource
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.metadata import version
from typing import Any, Final, NamedTuple

import imagecodecs
import numpy as np
import openjpeg
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import JPEGBaseline8Bit, JPEGLossless, JPEGLSLossless, RLELossless

from dicom_pipeline.imaging.codestream import JpegHeader, jpeg2000_header, jpeg_ends, jpeg_header
from dicom_pipeline.imaging.frames import encoded_frames, native_frames
from dicom_pipeline.imaging.image import COLOUR_SAMPLES, Image
from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.samples import (
    Pixels,
    native_cells,
    one_bit_cells,
    pixel_values,
    to_rgb,
)
from dicom_pipeline.imaging.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    GE_PRIVATE,
    JPEG_XL_RECOMPRESSION,
    Family,
    TransferSyntax,
)

GDCM: Final = "python-gdcm"
IMAGECODECS: Final = "imagecodecs"
OPENJPEG: Final = "pylibjpeg-openjpeg"
RLE: Final = "pylibjpeg-rle"
NUMPY: Final = "numpy"
ZLIB: Final = "zlib"

_SHARE_OF_MEMORY: Final = 8
"""A frame may take this part of the address space: codecs and conversions hold several copies."""
_UNLIMITED_FRAME_BYTES: Final = 1 << 30
"""Largest frame where the process has no limit of its own."""
_BYTE: Final = 8
_WORD: Final = 16
_HUFFMAN_DCT: Final = frozenset({0xC0, 0xC1, 0xC2})
_HIERARCHICAL: Final = frozenset({0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF})
_LOSSLESS_ARITHMETIC: Final = 0xCB


def library_version(library: str) -> str:
    """The version of a decoder that is named in an outcome."""
    return zlib.ZLIB_RUNTIME_VERSION if library == ZLIB else version(library)


def decode_frames(source: DicomObject, image: Image) -> Iterator[Pixels]:
    """Every frame as pixel values: (rows, columns), or (rows, columns, 3) in RGB.

    Palette indices stay indices. Signed 8-bit values come as 16 bits; bits outside BitsStored are
    gone.

    Raises:
        ImagingError: a frame is truncated, damaged, too large, or not what the object says.
        MemoryError: the process may use less memory than the decoder needs.
    """
    syntax = _readable(source, image)
    frames = (
        _coded(_CODECS, source, image, syntax) if syntax.encapsulated else _native(source, image)
    )
    dtype = None
    for index, pixels in enumerate(frames):
        if dtype not in {None, pixels.dtype}:
            raise ImagingError(
                ErrorCode.DECODER_ERROR,
                f"frame {index} has pixels of {pixels.dtype}, the first of {dtype}",
            )
        dtype = pixels.dtype
        yield pixels


def stored_cells(source: DicomObject, image: Image) -> Iterator[Pixels]:
    """The pixel cells of every frame with all their bits, samples last.

    For uncompressed, deflated and RLE pixel data of more than 1 bit a pixel.

    Raises:
        ImagingError: as `decode_frames`.
        MemoryError: the process may use less memory than the decoder needs.
    """
    syntax = _readable(source, image)
    if syntax.encapsulated:
        yield from _coded(_CELLS, source, image, syntax)
        return
    for frame in native_frames(_native_bytes(source, image), image):
        yield native_cells(frame, image, big_endian=_is_big_endian(source))


def _readable(source: DicomObject, image: Image) -> TransferSyntax:
    limit = largest_frame_bytes()
    if image.frame_bits // 8 > limit:
        raise ImagingError(
            ErrorCode.LIMIT_EXCEEDED,
            f"a frame of {image.rows} x {image.columns} pixels takes {image.frame_bits // 8} "
            f"bytes, more than the limit of {limit}: give the workers more memory",
        )
    syntax = source.syntax
    if syntax is None:
        raise ImagingError(ErrorCode.UNSUPPORTED_SYNTAX, "no decoder for the transfer syntax")
    return syntax


def _coded(
    codecs: "Mapping[Family, _Codec]", source: DicomObject, image: Image, syntax: TransferSyntax
) -> Iterator[Pixels]:
    codec = codecs.get(syntax.family)
    if codec is None:
        raise ImagingError(ErrorCode.UNSUPPORTED_SYNTAX, f"no decoder for {syntax.name}")
    for index, frame in enumerate(encoded_frames(source, image)):
        yield _guarded(codec, _Encoded(frame, index, image, syntax.uid))


def largest_frame_bytes() -> int:
    """Bytes of the largest frame that this process may decode."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return _UNLIMITED_FRAME_BYTES if limit == resource.RLIM_INFINITY else limit // _SHARE_OF_MEMORY


class _Encoded(NamedTuple):
    """One frame to decode, with what the object says about it."""

    frame: bytes
    number: int
    """From 0."""
    image: Image
    syntax_uid: str


class _Codec(NamedTuple):
    library: str
    decode: Callable[[_Encoded], Pixels]


def _guarded(codec: _Codec, encoded: _Encoded) -> Pixels:
    """The frame's pixel values; whatever a codec raises is told as the frame's error."""
    image = encoded.image
    try:
        pixels = codec.decode(encoded)
    except (MemoryError, ImagingError, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:
        # Codecs raise their own classes, and the panic of the RLE decoder is not even an Exception.
        cut = not jpeg_ends(encoded.frame) and codec.library == OPENJPEG
        cut = cut or "NEED_MORE_INPUT" in str(error)
        raise ImagingError(
            ErrorCode.TRUNCATED if cut else ErrorCode.DECODER_ERROR,
            f"frame {encoded.number}: {codec.library} refused it ({type(error).__name__})",
            codec.library,
        ) from error
    expected = (image.rows, image.columns, *((image.samples,) if image.colour else ()))
    if pixels.shape != expected:
        raise ImagingError(
            ErrorCode.DECODER_ERROR,
            f"frame {encoded.number}: the codestream is {pixels.shape}, the object says {expected}",
            codec.library,
        )
    return pixels


def _native(source: DicomObject, image: Image) -> Iterator[Pixels]:
    if image.photometric == "YBR_PARTIAL_420":
        raise ImagingError(ErrorCode.DECODER_ERROR, "YBR_PARTIAL_420 in native pixel data")
    big_endian = _is_big_endian(source)
    for index, frame in enumerate(native_frames(_native_bytes(source, image), image)):
        if image.bits_allocated == 1:
            yield one_bit_cells(frame, image, index)
        else:
            yield _from_cells(native_cells(frame, image, big_endian=big_endian), image)


def _is_big_endian(source: DicomObject) -> bool:
    return source.syntax_uid in {EXPLICIT_VR_BIG_ENDIAN, GE_PRIVATE}


def _native_bytes(source: DicomObject, image: Image) -> bytes:
    """The pixel data, with big-endian words of 8-bit pixels put in order (PS3.5 7.3)."""
    value = source.pixel_bytes
    if image.bits_allocated > _BYTE:
        return value
    if source.syntax_uid == GE_PRIVATE:
        raise ImagingError(
            ErrorCode.UNSUPPORTED_SYNTAX,
            "8-bit pixels in the GE private syntax: byte order not known",
        )
    element = source.dataset.get_item("PixelData")
    if source.syntax_uid == EXPLICIT_VR_BIG_ENDIAN and element.VR == "OW":
        return np.frombuffer(value + b"\0" * (len(value) % 2), ">u2").astype("<u2").tobytes()
    return value


def _from_cells(cells: Pixels, image: Image) -> Pixels:
    """Pixel values of cells that are laid out as the object's attributes say."""
    if image.floating:
        return cells
    values = pixel_values(
        cells, bits=image.bits_stored, high_bit=image.high_bit, signed=image.signed
    )
    return to_rgb(values, image.photometric)


def _from_codestream(samples: Pixels, precision: int, image: Image) -> Pixels:
    """Pixel values of samples whose width the codestream knows, and whose sign the object."""
    return pixel_values(samples, bits=precision, high_bit=precision - 1, signed=image.signed)


def _values(cells_of: Callable[[_Encoded], Pixels], encoded: _Encoded) -> Pixels:
    cells = cells_of(encoded)
    return cells if encoded.image.bits_allocated == 1 else _from_cells(cells, encoded.image)


def _encapsulated_native(encoded: _Encoded) -> Pixels:
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


def _deflated_frame(encoded: _Encoded) -> Pixels:
    """A frame that is one raw deflate stream (PS3.5 A.4.13)."""
    needed = (encoded.image.frame_bits + 7) // 8
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    inflated = inflater.decompress(encoded.frame, needed + 2)
    if len(inflated) < needed:
        raise ImagingError(
            ErrorCode.TRUNCATED, f"frame {encoded.number}: inflates to {len(inflated)} bytes", ZLIB
        )
    return _encapsulated_native(encoded._replace(frame=inflated))


def _rle(encoded: _Encoded) -> Pixels:
    return _by_pydicom(encoded, str(RLELossless), "pylibjpeg", encoded.image.bits_allocated)


def _jpeg_family(encoded: _Encoded) -> Pixels:
    """Any JPEG by what its own header says it is, whatever the transfer syntax says."""
    header = jpeg_header(encoded.frame)
    if header is None:
        raise ImagingError(ErrorCode.DECODER_ERROR, f"frame {encoded.number}: no JPEG header")
    if not jpeg_ends(encoded.frame):
        raise ImagingError(ErrorCode.TRUNCATED, f"frame {encoded.number}: no end marker")
    if header.sof in _HIERARCHICAL or header.sof == _LOSSLESS_ARITHMETIC:
        raise ImagingError(
            ErrorCode.UNSUPPORTED_SYNTAX,
            f"frame {encoded.number}: JPEG process of marker FF{header.sof:02X} has no decoder",
        )
    if header.jpeg_ls:
        return _jpeg_ls(encoded, header)
    if header.lossless:
        return _jpeg_lossless(encoded, header)
    return _jpeg_dct(encoded, header)


def _jpeg_dct(encoded: _Encoded, header: JpegHeader) -> Pixels:
    colour = header.colour(encoded.image.photometric)
    if header.sof in _HUFFMAN_DCT and header.precision == _BYTE:
        # Only for a second opinion on the scan: libjpeg below settles the colour space.
        label = "RGB" if colour == "RGB" else "YBR_FULL"
        _by_pydicom(encoded, str(JPEGBaseline8Bit), "gdcm", _BYTE, label)
    if header.components == COLOUR_SAMPLES:
        samples = imagecodecs.jpeg8_decode(encoded.frame, colorspace=colour, outcolorspace="RGB")
    else:
        samples = imagecodecs.jpeg8_decode(encoded.frame)
    return _from_codestream(samples, header.precision, encoded.image)


def _jpeg_lossless(encoded: _Encoded, header: JpegHeader) -> Pixels:
    cells = _by_pydicom(encoded, str(JPEGLossless), "gdcm", header.precision)
    values = _from_codestream(cells, header.precision, encoded.image)
    return to_rgb(values, encoded.image.photometric)


def _jpeg_ls(encoded: _Encoded, header: JpegHeader) -> Pixels:
    if header.precision < _BYTE:
        samples = imagecodecs.jpegls_decode(encoded.frame)
    else:
        samples = _by_pydicom(encoded, str(JPEGLSLossless), "gdcm", header.precision)
    values = _from_codestream(samples, header.precision, encoded.image)
    return to_rgb(values, encoded.image.photometric)


def _by_pydicom(
    encoded: _Encoded, syntax_uid: str, plugin: str, precision: int, colour: str = "RGB"
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


def _jpeg_2000(encoded: _Encoded) -> Pixels:
    header = jpeg2000_header(encoded.frame)
    if header is None:
        raise ImagingError(ErrorCode.DECODER_ERROR, f"frame {encoded.number}: no JPEG 2000 header")
    samples = np.ascontiguousarray(openjpeg.decode(encoded.frame))  # type: ignore[attr-defined]
    values = _from_codestream(samples, header.precision, encoded.image)
    # The inverse of the multiple component transform gives RGB, whatever the label says.
    photometric = "RGB" if header.multiple_component_transform else encoded.image.photometric
    return to_rgb(values, photometric)


def _jpeg_xl(encoded: _Encoded) -> Pixels:
    image = encoded.image
    samples = imagecodecs.jpegxl_decode(encoded.frame)
    precision = min(image.bits_stored, samples.dtype.itemsize * 8)
    values = pixel_values(samples, bits=precision, high_bit=precision - 1, signed=image.signed)
    # A recompressed JPEG comes out of libjxl as RGB.
    recompressed = encoded.syntax_uid == JPEG_XL_RECOMPRESSION
    return to_rgb(values, "RGB" if recompressed else image.photometric)


_CELLS: Final = {
    Family.ENCAPSULATED_NATIVE: _Codec(NUMPY, _encapsulated_native),
    Family.DEFLATED_FRAMES: _Codec(ZLIB, _deflated_frame),
    Family.RLE: _Codec(RLE, _rle),
}
STORED_AS_CELLS: Final = frozenset({Family.NATIVE, Family.DEFLATED, *_CELLS})
"""Families whose pixel cells keep the bits around the pixel's value."""
_CODECS: Final = {
    **{
        family: codec._replace(decode=partial(_values, codec.decode))
        for family, codec in _CELLS.items()
    },
    Family.JPEG: _Codec(GDCM, _jpeg_family),
    Family.JPEG_LOSSLESS: _Codec(GDCM, _jpeg_family),
    Family.JPEG_LS: _Codec(GDCM, _jpeg_family),
    Family.JPEG_2000: _Codec(OPENJPEG, _jpeg_2000),
    Family.HTJ2K: _Codec(OPENJPEG, _jpeg_2000),
    Family.JPEG_XL: _Codec(IMAGECODECS, _jpeg_xl),
}
