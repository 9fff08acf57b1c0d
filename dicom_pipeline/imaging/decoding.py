"""Decoding every frame of an object in full, one at a time."""

import resource
from collections.abc import Iterator, Mapping
from typing import Final

from dicom_pipeline.imaging.codecs import (
    CELL_CODECS,
    CODECS,
    LENIENT_CODECS,
    Codec,
    Encoded,
    decode_frame,
)
from dicom_pipeline.imaging.frames import encoded_frames, native_frames
from dicom_pipeline.imaging.image import Image
from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.samples import Pixels, from_cells, native_cells, one_bit_cells
from dicom_pipeline.imaging.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    GE_PRIVATE,
    Family,
    TransferSyntax,
)

STORED_AS_CELLS: Final = frozenset({Family.NATIVE, Family.DEFLATED, *CELL_CODECS})
"""Families whose pixel cells keep the bits around the pixel's value."""

_SHARE_OF_MEMORY: Final = 8
"""A frame may take this part of the address space: codecs and conversions hold several copies."""
_UNLIMITED_FRAME_BYTES: Final = 1 << 30
"""Largest frame where the process has no limit of its own."""
_BYTE: Final = 8


def decode_frames(
    source: DicomObject, image: Image, frames: range | None = None, *, compared: bool = False
) -> Iterator[Pixels]:
    """Every frame as pixel values: (rows, columns), or (rows, columns, 3) in RGB.

    Palette indices stay indices. Signed 8-bit values come as 16 bits; bits outside BitsStored are
    gone. One frame is in memory at a time.

    Args:
        source: the object, open.
        image: its attributes.
        frames: the numbers, from 0, of the frames that are wanted; None for all.
        compared: the pixels will be compared with what they must be, so that quick decoders will
            do that may take a damaged frame for a sound one.

    Raises:
        ImagingError: a frame is truncated, damaged, too large, or not what the object says.
        MemoryError: the process may use less memory than the decoder needs.
    """
    syntax = _readable(source, image)
    wanted = range(image.frames) if frames is None else frames
    decoded = (
        _coded(LENIENT_CODECS if compared else CODECS, source, image, syntax, wanted)
        if syntax.encapsulated
        else _native(source, image, wanted)
    )
    dtype = None
    for index, pixels in zip(wanted, decoded, strict=True):
        if dtype not in {None, pixels.dtype}:
            raise frames_differ(index, pixels, dtype)
        dtype = pixels.dtype
        yield pixels


def frames_differ(index: int, pixels: Pixels, dtype: object) -> ImagingError:
    """That a frame has other numbers than the frames before it."""
    return ImagingError(
        ErrorCode.DECODER_ERROR, f"frame {index} has pixels of {pixels.dtype}, the first of {dtype}"
    )


def stored_cells(source: DicomObject, image: Image) -> Iterator[Pixels]:
    """The pixel cells of every frame with all their bits, samples last.

    For uncompressed, deflated and RLE pixel data of more than 1 bit a pixel.

    Raises:
        ImagingError: as `decode_frames`.
        MemoryError: the process may use less memory than the decoder needs.
    """
    syntax = _readable(source, image)
    if syntax.encapsulated:
        yield from _coded(CELL_CODECS, source, image, syntax, range(image.frames))
        return
    big_endian = _is_big_endian(source)
    for frame in _native_bytes(source, image, range(image.frames)):
        yield native_cells(frame, image, big_endian=big_endian)


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


def largest_frame_bytes() -> int:
    """Bytes of the largest frame that this process may decode."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return _UNLIMITED_FRAME_BYTES if limit == resource.RLIM_INFINITY else limit // _SHARE_OF_MEMORY


def _coded(
    codecs: Mapping[Family, Codec],
    source: DicomObject,
    image: Image,
    syntax: TransferSyntax,
    wanted: range,
) -> Iterator[Pixels]:
    codec = codecs.get(syntax.family)
    if codec is None:
        raise ImagingError(ErrorCode.UNSUPPORTED_SYNTAX, f"no decoder for {syntax.name}")
    for index, frame in zip(wanted, encoded_frames(source, image, wanted), strict=True):
        yield decode_frame(codec, Encoded(frame, index, image, syntax.uid))


def _native(source: DicomObject, image: Image, wanted: range) -> Iterator[Pixels]:
    if image.photometric == "YBR_PARTIAL_420":
        raise ImagingError(ErrorCode.DECODER_ERROR, "YBR_PARTIAL_420 in native pixel data")
    big_endian = _is_big_endian(source)
    for index, frame in zip(wanted, _native_bytes(source, image, wanted), strict=True):
        if image.bits_allocated == 1:
            yield one_bit_cells(frame, image, index)
        else:
            yield from_cells(native_cells(frame, image, big_endian=big_endian), image)


def _is_big_endian(source: DicomObject) -> bool:
    return source.syntax_uid in {EXPLICIT_VR_BIG_ENDIAN, GE_PRIVATE}


def _native_bytes(source: DicomObject, image: Image, wanted: range) -> Iterator[bytes]:
    """The bytes of frames, with big-endian words of 8-bit pixels put in order (PS3.5 7.3)."""
    if image.bits_allocated <= _BYTE and source.syntax_uid == GE_PRIVATE:
        raise ImagingError(
            ErrorCode.UNSUPPORTED_SYNTAX,
            "8-bit pixels in the GE private syntax: byte order not known",
        )
    swapped = (
        image.bits_allocated <= _BYTE
        and source.syntax_uid == EXPLICIT_VR_BIG_ENDIAN
        and source.pixels is not None
        and source.pixels.vr == "OW"
    )
    return native_frames(source.pixel_bytes, image, wanted, swapped=swapped)
