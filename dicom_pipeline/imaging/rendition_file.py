"""Writing a rendition frame by frame: what stands before the pixels, the frames, what follows."""

import struct
from typing import BinaryIO, Final, NamedTuple

from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from dicom_pipeline.imaging.encoding import LONGEST_VALUE, PixelForm
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN

IMPLEMENTATION_CLASS_UID: Final = "2.25.230716094438297358402927473106284910722"
IMPLEMENTATION_VERSION_NAME: Final = "DICOM_PIPELINE"

_PIXEL_DATA: Final = 0x7FE00010
_FLOAT_PIXEL_DATA: Final = 0x7FE00008
_ITEM: Final = struct.pack("<HH", 0xFFFE, 0xE000)
_SEQUENCE_END: Final = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)
_PREAMBLE: Final = 128
_UNDEFINED: Final = 0xFFFFFFFF
_LARGEST_BASIC_OFFSET: Final = (1 << 32) - 1
_EXTENDED_ENTRY: Final = 8
"""Bytes of an entry of the Extended Offset Table (PS3.3 C.7.6.3.1.8)."""


class Surroundings(NamedTuple):
    """The bytes of a rendition around its frames."""

    before: bytes
    """The file up to and with the header of the pixel data, with room for the offset table."""
    after: bytes
    table_at: int | None
    """Where the Basic Offset Table goes, or the Extended one; None in native pixel data."""
    lengths_at: int | None
    """Where the Extended Offset Table Lengths go; None with a Basic Offset Table."""


def surround(copy: Dataset, form: PixelForm, frames: int) -> Surroundings:
    """The bytes around ``frames`` frames of a rendition with the elements of ``copy``."""
    extended = form.frame_bytes * frames > _LARGEST_BASIC_OFFSET
    before, after = Dataset(), Dataset()
    for dataset in (before, after):
        dataset.set_original_encoding(
            is_implicit_vr=False,
            is_little_endian=True,
            character_encoding=copy._character_set,  # noqa: SLF001
        )
    for tag in copy.keys():  # noqa: SIM118  iterating a data set would convert its elements
        (before if tag < _PIXEL_DATA else after)[tag] = copy.get_item(tag)
    native = form.syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN
    if extended and not native:
        before.ExtendedOffsetTable = bytes(_EXTENDED_ENTRY * frames)
        before.ExtendedOffsetTableLengths = bytes(_EXTENDED_ENTRY * frames)
    head = _head(before, form.syntax_uid)
    if native:
        return Surroundings(head + _native_header(form, frames), _explicit(after), None, None)
    header = struct.pack("<HH2sHL", 0x7FE0, 0x0010, b"OB", 0, _UNDEFINED)
    if extended:
        # The two tables are the last elements, each behind a header of 12 bytes.
        lengths_at = len(head) - _EXTENDED_ENTRY * frames
        table_at = lengths_at - 12 - _EXTENDED_ENTRY * frames
        return Surroundings(head + header + _item(b""), _explicit(after), table_at, lengths_at)
    table = _item(bytes(4 * frames))
    table_at = len(head) + len(header) + len(_item(b""))
    return Surroundings(head + header + table, _explicit(after), table_at, None)


def _head(copy: Dataset, syntax_uid: str) -> bytes:
    """Preamble, File Meta Information (PS3.10 7.1) and data set."""
    sop_class, sop_instance = (copy.get(name) for name in ("SOPClassUID", "SOPInstanceUID"))
    if not (sop_class and sop_instance):
        raise ImagingError(ErrorCode.UNREADABLE_OBJECT, "SOPClassUID or SOPInstanceUID is missing")
    meta = struct.pack("<HH2sHL", 2, 1, b"OB", 0, 2) + b"\0\1"
    for element, vr, text in (
        (0x0002, b"UI", str(sop_class)),
        (0x0003, b"UI", str(sop_instance)),
        (0x0010, b"UI", syntax_uid),
        (0x0012, b"UI", IMPLEMENTATION_CLASS_UID),
        (0x0013, b"SH", IMPLEMENTATION_VERSION_NAME),
    ):
        value = text.encode("ascii", errors="replace")
        value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
        meta += struct.pack("<HH2sH", 2, element, vr, len(value)) + value
    length = struct.pack("<HH2sHL", 2, 0, b"UL", 4, len(meta))
    return bytes(_PREAMBLE) + b"DICM" + length + meta + _explicit(copy)


def _explicit(copy: Dataset) -> bytes:
    buffer = DicomBytesIO()
    buffer.is_implicit_VR, buffer.is_little_endian = False, True
    write_dataset(buffer, copy)
    return buffer.getvalue()


def _native_header(form: PixelForm, frames: int) -> bytes:
    length = form.frame_bytes * frames
    assert length <= LONGEST_VALUE
    if form.dtype.kind == "f":
        tag, vr = _FLOAT_PIXEL_DATA, b"OF"
    else:
        tag, vr = _PIXEL_DATA, b"OB" if form.dtype.itemsize == 1 else b"OW"
    return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, length + length % 2)


def _item(value: bytes) -> bytes:
    return _ITEM + len(value).to_bytes(4, "little") + value


class RenditionFile:
    """A rendition that is being written.

    Args:
        file: empty, opened for reading and writing.
        surroundings: what `surround` has made.
    """

    def __init__(self, file: BinaryIO, surroundings: Surroundings) -> None:
        self._file = file
        self._surroundings = surroundings
        self._offsets: list[int] = []
        self._lengths: list[int] = []
        self._position = 0
        file.write(surroundings.before)

    @property
    def frames(self) -> int:
        """Frames that were written."""
        return len(self._lengths)

    def append(self, frame: bytes) -> None:
        """Write the next frame, as one fragment where the pixel data is encapsulated.

        Raises:
            OSError: the file cannot be written.
        """
        self._offsets.append(self._position)
        self._lengths.append(len(frame))
        if self._surroundings.table_at is not None:
            frame = _item(frame + b"\0" * (len(frame) % 2))
        self._position += self._file.write(frame)

    def finish(self) -> int:
        """Write what follows, and the offset table; return the number of bytes of the file.

        Raises:
            ImagingError: a frame begins beyond what the Basic Offset Table can say.
            OSError: the file cannot be written.
        """
        _, after, table_at, lengths_at = self._surroundings
        if table_at is None:
            self._file.write(b"\0" * (self._position % 2))
        else:
            self._file.write(_SEQUENCE_END)
        self._file.write(after)
        size = self._file.tell()
        if lengths_at is not None:
            self._patch(lengths_at, "Q", self._lengths)
        if table_at is not None:
            self._patch(table_at, "L" if lengths_at is None else "Q", self._offsets)
        self._file.flush()
        return size

    def _patch(self, position: int, entry: str, numbers: list[int]) -> None:
        if numbers[-1] > _LARGEST_BASIC_OFFSET and entry == "L":
            raise ImagingError(
                ErrorCode.LIMIT_EXCEEDED, "the frames take more room compressed than plain"
            )
        self._file.seek(position)
        self._file.write(struct.pack(f"<{len(numbers)}{entry}", *numbers))
