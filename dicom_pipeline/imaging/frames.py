"""The bytes of each frame, as they lie in the object (PS3.5 8.2 and A.4)."""

import io
import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from pydicom.encaps import generate_frames, parse_basic_offsets, parse_fragments

from dicom_pipeline.imaging.image import Image
from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.transfer_syntaxes import Family

_ITEM: Final = b"\xfe\xff\x00\xe0"
_ITEM_HEADER: Final = 8
_OFFSET: Final = 8
"""Bytes of an entry of the Extended Offset Table (PS3.3 C.7.6.3.1.8)."""
_RLE_HEADER: Final = struct.Struct("<LL")
_RLE_SEGMENTS: Final = range(1, 16)
_RLE_FIRST_OFFSET: Final = 64
_JPEG: Final = (b"\xff\xd8",)
_JPEG_2000: Final = (b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ")
_BEGINNINGS: Final = {
    Family.JPEG: _JPEG,
    Family.JPEG_LOSSLESS: _JPEG,
    Family.JPEG_LS: _JPEG,
    Family.JPEG_2000: _JPEG_2000,
    Family.HTJ2K: _JPEG_2000,
    Family.JPEG_XL: (b"\xff\x0a", b"\0\0\0\x0cJXL "),
}
"""How a codestream begins, bare or in its file format."""


class Fragments(NamedTuple):
    """How encapsulated pixel data is cut."""

    number: int
    """Fragments without the Basic Offset Table."""
    offsets: int
    """Entries of the Basic or Extended Offset Table: where frames begin; 0 without a table."""
    codestreams: int
    """Fragments that begin like a frame of the transfer syntax."""

    @property
    def frames(self) -> int:
        """The frames that there are at least, whatever NumberOfFrames says."""
        return max(self.offsets, self.codestreams)


def looks_encapsulated(value: bytes) -> bool:
    """Whether a pixel data value begins with an item tag, as fragments do."""
    return value[:4] == _ITEM


def count_fragments(source: DicomObject) -> Fragments:
    """How the pixel data of an object is cut into fragments.

    Raises:
        ImagingError: the items are broken.
    """
    buffer = io.BytesIO(source.pixel_bytes)
    try:
        extended = source.dataset.get("ExtendedOffsetTable") or b""
        offsets = max(len(parse_basic_offsets(buffer)), len(extended) // _OFFSET)
        number, positions = parse_fragments(buffer)
    except (ValueError, struct.error, EOFError) as error:
        raise _broken() from error
    family = source.syntax.family if source.syntax else None
    if family in {Family.ENCAPSULATED_NATIVE, Family.DEFLATED_FRAMES}:
        # Nothing marks the beginning of such a frame.
        return Fragments(number, offsets, 0 if offsets else number)
    value = memoryview(source.pixel_bytes)
    begun = (_begins_frame(value[at + _ITEM_HEADER : at + 20], family) for at in positions)
    return Fragments(number, offsets, sum(begun))


def _begins_frame(fragment: memoryview, family: Family | None) -> bool:
    if family is Family.RLE:
        if len(fragment) < _RLE_HEADER.size:
            return False
        segments, first = _RLE_HEADER.unpack(fragment[: _RLE_HEADER.size])
        return segments in _RLE_SEGMENTS and first == _RLE_FIRST_OFFSET  # PS3.5 G.5
    return family in _BEGINNINGS and bytes(fragment).startswith(_BEGINNINGS[family])


def encoded_frames(source: DicomObject, image: Image) -> Iterator[bytes]:
    """The codestream of each frame of encapsulated pixel data.

    Raises:
        ImagingError: the fragments are broken or hold fewer frames than the object says.
    """
    table = source.dataset.get("ExtendedOffsetTable")
    lengths = source.dataset.get("ExtendedOffsetTableLengths")
    count = 0
    try:
        for frame in generate_frames(
            source.pixel_bytes,
            number_of_frames=image.frames,
            extended_offsets=(table, lengths) if table and lengths else None,
        ):
            count += 1
            yield frame
            if count == image.frames:
                return
    except (ValueError, struct.error, EOFError) as error:
        raise _broken() from error
    raise ImagingError(ErrorCode.TRUNCATED, f"pixel data holds {count} of {image.frames} frames")


def native_frames(pixel_bytes: bytes, image: Image) -> Iterator[memoryview]:
    """The bytes of each frame of native pixel data; with 1 bit a pixel, the bytes that it touches.

    Raises:
        ImagingError: there are fewer bytes than the attributes ask for.
    """
    value = memoryview(pixel_bytes)
    if len(value) < image.total_bytes:
        raise ImagingError(
            ErrorCode.TRUNCATED,
            f"pixel data has {len(value)} bytes where {image.total_bytes} are needed",
        )
    for index in range(image.frames):
        first = index * image.frame_bits
        yield value[first // 8 : (first + image.frame_bits + 7) // 8]


def _broken() -> ImagingError:
    return ImagingError(ErrorCode.TRUNCATED, "the fragments of the pixel data are cut or broken")
