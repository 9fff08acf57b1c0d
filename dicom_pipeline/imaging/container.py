"""Whether a strict parser can walk a file: the rules of dicom-parser, which Cornerstone3D uses.

dicom-parser gives up on files that other readers repair on the way. What it cannot walk has to be
written anew before a viewer gets it.
"""

from enum import StrEnum
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_has_tag, dictionary_VR

from dicom_pipeline.imaging.file_ranges import FileRange
from dicom_pipeline.imaging.vrs import LONG_VRS

_PREAMBLE: Final = 128
_ITEM: Final = 0xFFFEE000
_ITEM_END: Final = 0xFFFEE00D
_SEQUENCE_END: Final = 0xFFFEE0DD
_PIXEL_DATA: Final = 0x7FE00010
_META_GROUP_LENGTH: Final = 0x00020000
_UNDEFINED: Final = 0xFFFFFFFF
_MAX_DEPTH: Final = 60
_EMPTY_ELEMENT: Final = 8
"""Bytes of what dicom-parser makes of zeros behind the last element."""

_SHORT_VRS: Final = frozenset(
    (b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN",
     b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US")
)  # fmt: skip


class Fault(StrEnum):
    """What a strict parser stumbles over."""

    NO_META = "no File Meta Information (PS3.10 7.1)"
    NO_META_LENGTH = "File Meta Information without its group length"
    TOO_DEEP = "sequences nested too deep"
    ENDS_EARLY = "the file ends inside an element"
    UNKNOWN_VR = "an element with an unknown VR"
    UNDEFINED_UN = "an element of VR UN and undefined length"
    SEQUENCE_AS_UN = "a standard sequence written as UN"
    BROKEN_SEQUENCE = "a sequence whose items or delimiters are broken"
    UNEVEN_PADDING = "zeros behind the last element that cannot be read as empty elements"


class _FaultError(Exception):
    def __init__(self, fault: Fault) -> None:
        self.fault = fault


class _Element(NamedTuple):
    tag: int
    vr: bytes
    length: int
    value: int
    """Position of the value."""


def _is_sequence(tag: int) -> bool:
    return dictionary_has_tag(tag) and dictionary_VR(tag) == "SQ"


class _Walker:
    def __init__(self, data: bytes | FileRange, *, implicit_vr: bool, little_endian: bool) -> None:
        self._data = data
        self._end = len(data)
        self._implicit_vr = implicit_vr
        self._order = "little" if little_endian else "big"

    def number(self, position: int, size: int) -> int:
        if position + size > self._end:
            raise _FaultError(Fault.ENDS_EARLY)
        raw = self._data[position : position + size]
        return int.from_bytes(raw, "little" if self._order == "little" else "big")

    def tag(self, position: int) -> int:
        return self.number(position, 2) << 16 | self.number(position + 2, 2)

    def _is_padding(self, position: int) -> bool:
        """Whether nothing but zeros follows, as where files are filled up to whole blocks."""
        start = self._data[position : position + 8]
        return not any(start) and not any(self._data[position:])

    def element(self, position: int) -> _Element:
        tag = self.tag(position)
        if self._implicit_vr or tag in {_ITEM, _ITEM_END, _SEQUENCE_END}:
            return _Element(tag, b"", self.number(position + 4, 4), position + 8)
        vr = bytes(self._data[position + 4 : position + 6])
        if vr in LONG_VRS:
            return _Element(tag, vr, self.number(position + 8, 4), position + 12)
        if vr in _SHORT_VRS:
            return _Element(tag, vr, self.number(position + 6, 2), position + 8)
        raise _FaultError(Fault.UNKNOWN_VR)

    def walk(self, position: int, end: int | None, depth: int) -> int:
        """Walk elements up to ``end``, or past the item's delimiter when ``end`` is None."""
        if depth > _MAX_DEPTH:
            raise _FaultError(Fault.TOO_DEEP)
        while end is None or position < end:
            if depth == 0 and end == self._end and self._is_padding(position):
                if (end - position) % _EMPTY_ELEMENT:
                    raise _FaultError(Fault.UNEVEN_PADDING)
                return end
            element = self.element(position)
            if element.tag == _ITEM_END and end is None:
                return element.value
            if element.tag >> 16 == _ITEM >> 16:
                raise _FaultError(Fault.BROKEN_SEQUENCE)
            position = self._after(element, depth)
            if end is not None and position > end:
                raise _FaultError(Fault.ENDS_EARLY if end == self._end else Fault.BROKEN_SEQUENCE)
        return position

    def _after(self, element: _Element, depth: int) -> int:
        undefined = element.length == _UNDEFINED
        if undefined and element.vr == b"UN":
            raise _FaultError(Fault.UNDEFINED_UN)
        if element.vr == b"UN" and element.length and _is_sequence(element.tag):
            raise _FaultError(Fault.SEQUENCE_AS_UN)
        if undefined and element.tag == _PIXEL_DATA:
            return self._fragments(element.value)
        if undefined:
            return self._items(element.value, None, depth)
        if element.vr == b"SQ":
            return self._items(element.value, element.value + element.length, depth)
        return element.value + element.length

    def _items(self, position: int, end: int | None, depth: int) -> int:
        while end is None or position < end:
            item = self.element(position)
            if item.tag == _SEQUENCE_END and end is None:
                return item.value
            if item.tag != _ITEM:
                raise _FaultError(Fault.BROKEN_SEQUENCE)
            if item.length == _UNDEFINED:
                position = self.walk(item.value, None, depth + 1)
            else:
                position = self.walk(item.value, item.value + item.length, depth + 1)
        return position

    def _fragments(self, position: int) -> int:
        while True:
            fragment = self.element(position)
            if fragment.tag == _SEQUENCE_END:
                return fragment.value
            if fragment.tag != _ITEM or fragment.length == _UNDEFINED:
                raise _FaultError(Fault.BROKEN_SEQUENCE)
            position = fragment.value + fragment.length


def find_fault(data: bytes | FileRange, *, implicit_vr: bool, little_endian: bool) -> Fault | None:
    """The first fault of a Part 10 file whose data set has the given encoding, or None."""
    if data[_PREAMBLE : _PREAMBLE + 4] != b"DICM":
        return Fault.NO_META
    meta = _Walker(data, implicit_vr=False, little_endian=True)
    try:
        length = meta.element(_PREAMBLE + 4)
        if length.tag != _META_GROUP_LENGTH:
            return Fault.NO_META_LENGTH
        start = length.value + length.length + meta.number(length.value, 4)
        meta.walk(length.value + length.length, start, 0)
        walker = _Walker(data, implicit_vr=implicit_vr, little_endian=little_endian)
        walker.walk(start, len(data), 0)
    except _FaultError as error:
        return error.fault
    return None
