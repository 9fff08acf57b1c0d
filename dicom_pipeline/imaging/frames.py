"""The bytes of each frame, as they lie in the object (PS3.5 8.2 and A.4)."""

import io
import struct
from collections.abc import Iterator
from typing import NamedTuple

from pydicom.encaps import generate_frames, parse_basic_offsets, parse_fragments

from dicom_pipeline.imaging.image import Image
from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError

_ITEM = b"\xfe\xff\x00\xe0"


class Fragments(NamedTuple):
    """How encapsulated pixel data is cut."""

    number: int
    """Fragments without the Basic Offset Table."""
    has_offsets: bool
    """Whether a Basic or Extended Offset Table tells where frames begin."""


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
        has_offsets = bool(parse_basic_offsets(buffer)) or "ExtendedOffsetTable" in source.dataset
        return Fragments(parse_fragments(buffer)[0], has_offsets)
    except (ValueError, struct.error, EOFError) as error:
        raise _broken() from error


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
