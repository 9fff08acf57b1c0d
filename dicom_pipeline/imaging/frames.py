"""The bytes of each frame, as they lie in the object (PS3.5 8.2 and A.4)."""

import struct
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from dicom_pipeline.imaging.file_ranges import FileRange
from dicom_pipeline.imaging.image import Image
from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.transfer_syntaxes import Family

_ITEM: Final = b"\xfe\xff\x00\xe0"
_SEQUENCE_END: Final = b"\xfe\xff\xdd\xe0"
_ITEM_HEADER: Final = 8
_UNDEFINED: Final = 0xFFFFFFFF
_BASIC, _EXTENDED = "L", "Q"
"""What an entry of the offset tables is to `struct` (PS3.3 C.7.6.3.1.8 for the extended one)."""
_END_OF_CODESTREAM: Final = b"\xff\xd9"
_ENDING: Final = 10
"""Bytes at the end of a fragment where the end of a codestream is looked for."""
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
    basic: tuple[int, ...]
    """The Basic Offset Table."""
    starts: tuple[int, ...]
    """Where the item tag of each fragment stands, counted as the Basic Offset Table does."""
    codestreams: int
    """Fragments that begin like a frame of the transfer syntax."""

    @property
    def frames(self) -> int:
        """The frames that there are at least, whatever NumberOfFrames says."""
        return max(self.offsets, self.codestreams)


class _Items(NamedTuple):
    """The items of encapsulated pixel data."""

    table: tuple[int, ...]
    """The Basic Offset Table: where frames begin, from the first fragment's item tag."""
    starts: list[int]
    """Where the item tag of each fragment stands, likewise."""
    fragments: list[FileRange]


def looks_encapsulated(value: bytes | FileRange) -> bool:
    """Whether a pixel data value begins with an item tag, as fragments do."""
    return value[:4] == _ITEM


def fragments(source: DicomObject) -> list[FileRange]:
    """The fragments of encapsulated pixel data, without the Basic Offset Table.

    Raises:
        ImagingError: the items are broken.
    """
    return _items(source.pixel_bytes).fragments


def count_fragments(source: DicomObject) -> Fragments:
    """How the pixel data of an object is cut into fragments.

    Raises:
        ImagingError: the items are broken.
    """
    items = _items(source.pixel_bytes)
    offsets = max(len(items.table), len(_extended_offsets(source)))
    number = len(items.fragments)
    family = source.syntax.family if source.syntax else None
    if family in {Family.ENCAPSULATED_NATIVE, Family.DEFLATED_FRAMES}:
        # Nothing marks the beginning of such a frame.
        begun = 0 if offsets else number
    else:
        begun = sum(_begins_frame(fragment[:12], family) for fragment in items.fragments)
    return Fragments(number, offsets, items.table, tuple(items.starts), begun)


def _begins_frame(fragment: bytes, family: Family | None) -> bool:
    if family is Family.RLE:
        if len(fragment) < _RLE_HEADER.size:
            return False
        segments, first = _RLE_HEADER.unpack(fragment[: _RLE_HEADER.size])
        return segments in _RLE_SEGMENTS and first == _RLE_FIRST_OFFSET  # PS3.5 G.5
    return family in _BEGINNINGS and fragment.startswith(_BEGINNINGS[family])


def encoded_frames(
    source: DicomObject, image: Image, frames: range | None = None
) -> Iterator[bytes]:
    """The codestream of each frame of encapsulated pixel data, or of ``frames`` only.

    Raises:
        ImagingError: the fragments are broken or hold fewer frames than the object says.
    """
    found = _frames(_items(source.pixel_bytes), _extended_offsets(source), image.frames)
    if len(found) < image.frames:
        raise ImagingError(
            ErrorCode.TRUNCATED, f"pixel data holds {len(found)} of {image.frames} frames"
        )
    for parts in found[: image.frames] if frames is None else found[frames.start : frames.stop]:
        yield parts[0][:] if len(parts) == 1 else b"".join(part[:] for part in parts)


def _items(value: FileRange) -> _Items:
    """Every item up to the sequence delimiter, or to the end of the value."""
    positions: list[tuple[int, int]] = []
    position = 0
    while len(header := value[position : position + _ITEM_HEADER]) >= len(_ITEM):
        if header.startswith(_SEQUENCE_END):
            break
        length = int.from_bytes(header[4:], "little")
        if not header.startswith(_ITEM) or len(header) < _ITEM_HEADER or length == _UNDEFINED:
            raise _broken()
        position += _ITEM_HEADER
        if position + length > len(value):
            raise _broken()
        positions.append((position, length))
        position += length
    if not positions:
        raise _broken()
    (first, length), *rest = positions
    begin = first + length
    return _Items(
        _numbers(value[first:begin], _BASIC),
        [at - _ITEM_HEADER - begin for at, _ in rest],
        [value.part(at, size) for at, size in rest],
    )


def _numbers(table: bytes, entry: str) -> tuple[int, ...]:
    count, rest = divmod(len(table), struct.calcsize(f"<{entry}"))
    if rest:
        raise _broken()
    return struct.unpack(f"<{count}{entry}", table)


def _extended_offsets(source: DicomObject) -> tuple[int, ...]:
    table = source.dataset.get("ExtendedOffsetTable") or b""
    return _numbers(table, _EXTENDED)


def _frames(items: _Items, extended: Sequence[int], count: int) -> list[list[FileRange]]:
    """The fragments of each frame that there is."""
    found = items.fragments
    table = extended or items.table
    cut = _cut(items, table) if table else []
    if len(found) == count != len(cut):  # without a table, or with a false one
        return [[fragment] for fragment in found]
    if table:
        return cut
    if count == 1:
        return [found] if found else []
    # Where nothing says where a frame begins, it ends where a fragment ends like a codestream.
    frames: list[list[FileRange]] = [[]]
    for fragment in found:
        frames[-1].append(fragment)
        if _END_OF_CODESTREAM in fragment[max(0, len(fragment) - _ENDING) :]:
            frames.append([])
    return [frame for frame in frames if frame]


def _cut(items: _Items, table: Sequence[int]) -> list[list[FileRange]]:
    """Frames that begin where a table says."""
    frames: list[list[FileRange]] = [[]]
    following = iter(table[1:])
    begin = next(following, None)
    for start, fragment in zip(items.starts, items.fragments, strict=True):
        if begin is not None and start >= begin:
            frames.append([])
            begin = next(following, None)
        frames[-1].append(fragment)
    return [frame for frame in frames if frame]


def native_frames(
    value: bytes | FileRange, image: Image, frames: range | None = None, *, swapped: bool = False
) -> Iterator[bytes]:
    """The bytes of each frame of native pixel data; with 1 bit a pixel, the bytes that it touches.

    Args:
        value: of the pixel data.
        image: the attributes of the object.
        frames: the frames that are wanted, or all.
        swapped: whether each two bytes have changed places, as in big-endian words.

    Raises:
        ImagingError: there are fewer bytes than the attributes ask for.
    """
    if len(value) < image.total_bytes:
        raise ImagingError(
            ErrorCode.TRUNCATED,
            f"pixel data has {len(value)} bytes where {image.total_bytes} are needed",
        )
    for index in range(image.frames) if frames is None else frames:
        first, rest = divmod(index * image.frame_bits, 8)
        length = (rest + image.frame_bits + 7) // 8
        yield _unswapped(value, first, length) if swapped else value[first : first + length]


def _unswapped(value: bytes | FileRange, first: int, length: int) -> bytes:
    """``length`` bytes from ``first`` on, of words whose bytes have changed places."""
    lead = first % 2
    words = value[first - lead : first + length + (first + length) % 2]
    words += b"\0" * (len(words) % 2)
    ordered = bytearray(len(words))
    ordered[0::2], ordered[1::2] = words[1::2], words[0::2]
    return bytes(ordered[lead : lead + length])


def _broken() -> ImagingError:
    return ImagingError(ErrorCode.TRUNCATED, "the fragments of the pixel data are cut or broken")
