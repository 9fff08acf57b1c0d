"""The raw elements of one DICOM file, without the pixel data.

pydicom parses; what stands here keeps it from believing declared lengths, from inflating without a
bound and from giving up on a file whose beginning is sound. No value is converted.
"""

import io
import itertools
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.filereader import data_element_generator, read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian
from pydicom.values import convert_SQ

from dicom_pipeline.errors import PermanentError
from dicom_pipeline.imaging.findings import Findings
from dicom_pipeline.imaging.quiet import quiet_pydicom

VALUE_LIMIT: Final = 64 * 1024
"""Longest value field in bytes that is read; longer ones are left out, sequences apart."""
INFLATED_LIMIT: Final = 256 * 1024 * 1024
"""Most bytes a deflated data set may inflate to; the rest is not read."""
FRAGMENTS_LIMIT: Final = 4096
"""Most items of encapsulated pixel data that are stepped over on the way to what follows."""

Elements = Mapping[int, RawDataElement | DataElement]

_PREAMBLE_LENGTH: Final = 128
_PIXEL_DATA: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_ITEM: Final = b"\xfe\xff\x00\xe0"
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF
_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_DIGITAL_SIGNATURES: Final = 0xFFFAFFFA
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_SOP_CLASS_UID: Final = 0x00080016
_SOP_INSTANCE_UID: Final = 0x00080018


class UnreadableHeaderError(PermanentError):
    """No attribute of the file can be read."""


class Header(NamedTuple):
    """The elements of a file, raw or (sequences of undefined length) parsed but not converted."""

    transfer_syntax: bytes | None
    """Transfer Syntax UID as it stands in group 0002; None: no such element."""
    elements: Elements


class _BoundedReader(io.BufferedReader):
    """Never asks for more than the file has: `read` allocates what is asked for, up to 4 GB."""

    def __init__(self, path: Path) -> None:
        raw = io.FileIO(os.fspath(path))  # pydicom puts the name into texts
        super().__init__(raw)
        self._size = os.fstat(raw.fileno()).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > VALUE_LIMIT:
            size = max(0, min(size, self._size - self.tell()))
        return super().read(size)


def read_header(path: Path, findings: Findings) -> Header:
    """Read the elements of the file at `path` up to the pixel data, and digital signatures.

    The pixel data are stepped over, not read. What follows them is ignored, digital signatures
    (FFFA,FFFA) right behind them apart; hardly anything but padding (FFFC,FFFC) ever does.

    Raises:
        UnreadableHeaderError: the file is empty, not DICOM, or nothing of it can be read.
        OSError: the file cannot be opened or read.
    """
    # what pydicom warns of becomes a finding here
    with quiet_pydicom(), _BoundedReader(path) as file:
        try:
            return _read(file, findings)
        except RecursionError:
            raise UnreadableHeaderError(
                "the header nests sequences too deeply to be read; ask the sender for the object "
                "without them"
            ) from None


def _read(file: BinaryIO, findings: Findings) -> Header:
    is_part_10 = _skip_preamble(file)
    meta = _read_group(file, 0x0002, is_implicit_vr=False)
    transfer_syntax = _raw_value(meta.get(_TRANSFER_SYNTAX_UID))
    if _peek(file, 2) == b"\0\0":
        _read_group(file, 0x0000, is_implicit_vr=True)
    uid = (transfer_syntax or b"").strip(b" \0").decode("ascii", "replace")
    if uid == DeflatedExplicitVRLittleEndian:
        file = io.BytesIO(_inflate(file, findings))
    elements = _read_elements(file, uid, findings)
    if not elements:
        raise UnreadableHeaderError(
            "the file holds no data set; look at how it was written"
            if is_part_10
            else "the file is empty or not a DICOM file (PS3.10); send the object again"
        )
    if not is_part_10 and not {_SOP_CLASS_UID, _SOP_INSTANCE_UID} & elements.keys():
        raise UnreadableHeaderError(
            "the file is not a DICOM file (PS3.10): it has neither the prefix DICM nor a SOP "
            "class; remove it or send the object again"
        )
    return Header(transfer_syntax, elements)


def _peek(file: BinaryIO, size: int) -> bytes:
    position = file.tell()
    data = file.read(size)
    file.seek(position)
    return data


def _skip_preamble(file: BinaryIO) -> bool:
    """Go to the first element; whether the file begins as PS3.10 7.1 says."""
    if file.read(_PREAMBLE_LENGTH + 4)[_PREAMBLE_LENGTH:] == b"DICM":
        return True
    file.seek(0)
    return False


def _read_group(file: BinaryIO, group: int, *, is_implicit_vr: bool) -> Elements:
    """The elements of one leading group; none when they cannot be parsed."""

    def is_other_group(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return tag >> 16 != group

    start = file.tell()
    try:
        return dict(read_dataset(file, is_implicit_vr, True, stop_when=is_other_group).items())
    except RecursionError:
        raise
    except Exception:  # noqa: BLE001 - whatever the parser stumbles over means the same
        file.seek(start)
        return {}


def _raw_value(element: object) -> bytes | None:
    value = element.value if isinstance(element, RawDataElement) else None
    return value if isinstance(value, bytes) else None


def _inflate(file: BinaryIO, findings: Findings) -> bytes:
    """The data set of Deflated Explicit VR Little Endian (PS3.5 A.5), at most `INFLATED_LIMIT`."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    parts: list[bytes] = []
    left = INFLATED_LIMIT
    try:
        while left and not inflater.eof and (data := file.read(VALUE_LIMIT)):
            parts.append(inflater.decompress(data, left))
            left -= len(parts[-1])
    except zlib.error:
        findings.add("header", "the deflated data set is damaged, read as far as it goes")
    else:
        if left and not inflater.eof:
            findings.add("header", "the deflated data set is cut off, read as far as it goes")
    if not left:
        findings.add(
            "header", f"the data set inflates beyond {INFLATED_LIMIT} bytes, rest not read"
        )
    return b"".join(parts)


def _read_elements(
    file: BinaryIO, transfer_syntax: str, findings: Findings
) -> dict[int, RawDataElement | DataElement]:
    start = _peek(file, 6)
    is_explicit_vr = len(start) == 6 and start[4:6].isalpha() and start[4:6].isupper()  # noqa: PLR2004 - tag and VR
    # Without group 0002 the order of the bytes shows in the first group, 0008: as little endian
    # it is below 0400H (pydicom's own rule).
    is_little_endian = (
        transfer_syntax != ExplicitVRBigEndian
        if transfer_syntax
        else not is_explicit_vr or int.from_bytes(start[:2], "little") < 0x0400  # noqa: PLR2004
    )
    elements: dict[int, RawDataElement | DataElement] = {}
    while True:
        parser = _Parser(file, is_implicit_vr=not is_explicit_vr, is_little_endian=is_little_endian)
        try:
            for element in parser.elements():
                elements[int(element.tag)] = _with_long_sequence(file, element)
        except RecursionError:
            raise
        except Exception:  # noqa: BLE001 - whatever the parser stumbles over means the same
            # pydicom looks every character set up in Python, which may fail; here it is only bytes
            if parser.tag == _SPECIFIC_CHARACTER_SET and parser.length <= VALUE_LIMIT:
                elements[parser.tag] = parser.reread()
                continue
            findings.add("header", "damaged, only the attributes before the damage are read")
            return elements
        if parser.tag in _PIXEL_DATA:
            elements |= _read_signatures(file, parser, findings)
        elif file.read(1):
            findings.add("header", "ends before the end of the file, the rest is not read")
        return elements


def _read_signatures(
    file: BinaryIO, parser: "_Parser", findings: Findings
) -> dict[int, RawDataElement | DataElement]:
    """The digital signatures, when they stand right behind the pixel data."""
    file.seek(parser.position)
    if parser.length == _UNDEFINED_LENGTH:
        _skip_fragments(file)
    else:
        file.seek(parser.length, os.SEEK_CUR)
    group, number = divmod(_DIGITAL_SIGNATURES, 0x10000)
    order = "<HH" if parser.is_little_endian else ">HH"
    if _peek(file, 4) != struct.pack(order, group, number):
        return {}
    try:
        return {
            int(element.tag): _with_long_sequence(file, element)
            for element in itertools.islice(parser.elements(), 1)
        }
    except Exception:  # noqa: BLE001 - whatever the parser stumbles over means the same
        findings.add("DigitalSignaturesSequence", "damaged sequence, left out")
        return {}


def _skip_fragments(file: BinaryIO) -> None:
    """Go behind encapsulated pixel data (PS3.5 A.4), over no more than `FRAGMENTS_LIMIT` items."""
    for _ in range(FRAGMENTS_LIMIT):
        head = file.read(8)
        if head[:4] != _ITEM:  # the sequence delimitation item, or the end of a damaged file
            return
        file.seek(int.from_bytes(head[4:], "little"), os.SEEK_CUR)


class _Parser:
    """pydicom's parser, and which element it is at."""

    def __init__(self, file: BinaryIO, *, is_implicit_vr: bool, is_little_endian: bool) -> None:
        self._file = file
        self._is_implicit_vr = is_implicit_vr
        self.is_little_endian = is_little_endian
        self.tag = 0
        self._vr: str | None = None
        self.length = 0
        self.position = 0

    def elements(self) -> Iterator[RawDataElement | DataElement]:
        return data_element_generator(
            self._file,
            self._is_implicit_vr,
            self.is_little_endian,
            self._is_pixel_data,
            VALUE_LIMIT,
        )

    def _is_pixel_data(self, tag: BaseTag, vr: str | None, length: int) -> bool:
        self.tag, self._vr, self.length = int(tag), vr, length
        self.position = self._file.tell()
        return tag in _PIXEL_DATA

    def reread(self) -> RawDataElement:
        """The element on which pydicom gave up; the file is then behind it."""
        self._file.seek(self.position)
        return RawDataElement(
            BaseTag(self.tag),
            self._vr,
            self.length,
            self._file.read(self.length),
            self.position,
            self._is_implicit_vr,
            self.is_little_endian,
        )


def _with_long_sequence(
    file: BinaryIO, element: RawDataElement | DataElement
) -> RawDataElement | DataElement:
    """`element`, its items read though together they are longer than `VALUE_LIMIT`."""
    if (
        isinstance(element, DataElement)
        or element.value is not None
        or element.length <= VALUE_LIMIT
        or element.length == _UNDEFINED_LENGTH
        or not _is_sequence(element)
    ):
        return element
    position = file.tell()
    file.seek(element.value_tell)
    value = file.read(element.length)
    file.seek(position)
    return element._replace(value=value)


def _is_sequence(element: RawDataElement) -> bool:
    if element.VR not in {None, "UN"}:
        return element.VR == "SQ"
    try:
        return dictionary_VR(element.tag) == "SQ"
    except KeyError:
        return False


def read_items(element: RawDataElement | DataElement) -> list[Elements]:
    """The items of a sequence, each as its raw elements.

    Raises:
        ValueError: the value is no sequence of items, or is damaged.
    """
    if isinstance(element, DataElement):
        items = element.value
    else:
        # PS3.5 6.2.2 note 2 (CP-246): a sequence inside UN is implicit VR little endian
        is_unknown = element.VR == "UN"
        try:
            with quiet_pydicom():
                items = convert_SQ(
                    element.value or b"",
                    element.is_implicit_VR or is_unknown,
                    element.is_little_endian or is_unknown,
                )
        except Exception as error:
            raise ValueError("the items cannot be parsed") from error
    return [dict(item.items()) for item in items]
