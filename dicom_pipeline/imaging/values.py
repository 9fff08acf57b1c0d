"""Values of raw elements as Python values, whatever the bytes are.

A value that cannot be right is never an error here: what can be kept is kept, the rest is left out,
and both leave a finding. Source: PS3.5 6.2 (value representations) and 7.8 (private elements).
"""

import struct
from functools import lru_cache
from typing import Final, NamedTuple

from pydicom.datadict import dictionary_VR, private_dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement

from dicom_pipeline.imaging.findings import Findings, attribute_name
from dicom_pipeline.imaging.header import VALUE_LIMIT, Elements, read_items
from dicom_pipeline.imaging.text import (
    NO_DELIMITERS,
    PERSON_NAME_DELIMITERS,
    VALUE_DELIMITERS,
    CharacterSet,
    character_set_terms,
    decode,
    person_name,
    resolve_character_set,
)

BINARY_LIMIT: Final = 1024
"""Longest binary value in bytes that is kept; a longer one is bulk data."""
DEPTH_LIMIT: Final = 64
"""Deepest nesting of sequences that is read."""

_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_PIXEL_REPRESENTATION: Final = 0x00280103
_PIXEL_DATA: Final = frozenset({0x7FE00008, 0x7FE00009, 0x7FE00010})
_UNDEFINED_LENGTH: Final = 0xFFFFFFFF

_SINGLE_TEXT: Final = frozenset({"ST", "LT", "UT", "UR"})
"""One value: a backslash is text."""
_MULTIPLE_TEXT: Final = frozenset({"SH", "LO", "UC", "PN"})
_DEFAULT_REPERTOIRE: Final = frozenset({"AE", "AS", "CS", "DA", "DS", "DT", "IS", "TM", "UI", "UR"})
"""Text to which Specific Character Set does not apply."""
TEXT_VRS: Final = _SINGLE_TEXT | _MULTIPLE_TEXT | _DEFAULT_REPERTOIRE

_NUMBERS: Final = {
    "US": "H",
    "SS": "h",
    "UL": "L",
    "SL": "l",
    "UV": "Q",
    "SV": "q",
    "FL": "f",
    "FD": "d",
}
"""Value representations that are numbers in binary: format of `struct`."""
BINARY_VRS: Final = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "UN"})
_KNOWN_VRS: Final = TEXT_VRS | BINARY_VRS | _NUMBERS.keys() | {"AT", "SQ"}

Scalar = str | int | float


class Value(NamedTuple):
    """The value of one attribute; which field holds it follows from `vr`."""

    vr: str
    values: tuple[Scalar, ...] = ()
    """Text and numbers; an empty text is an empty value between delimiters."""
    items: tuple["DataSet", ...] = ()
    """SQ."""
    binary: bytes = b""
    """OB, OW, UN …: little endian."""
    raw: bytes = b""
    """The value field, for those who doubt `vr`."""


class Scope(NamedTuple):
    """What an item of a sequence inherits from the data set around it."""

    character_set: CharacterSet = resolve_character_set(())
    is_overridden: bool = False
    """`character_set` holds whatever the object says of it."""
    is_signed: bool = False
    """"US or SS" is SS, by Pixel Representation (PS3.5 A.1)."""
    depth: int = 0


class DataSet:
    """A data set or an item of a sequence: converts its elements when they are asked for."""

    def __init__(self, elements: Elements, findings: Findings, scope: Scope) -> None:
        """Take what `elements` say of themselves; `scope` says what holds without that."""
        self.elements = elements
        self.findings = findings
        self._scope = scope._replace(
            character_set=self._character_set(scope), is_signed=self._sign(scope)
        )
        self._values: dict[int, Value | None] = {}

    def _character_set(self, scope: Scope) -> CharacterSet:
        element = self.elements.get(_SPECIFIC_CHARACTER_SET)
        if scope.is_overridden or not isinstance(element, RawDataElement):
            return scope.character_set
        own = resolve_character_set(character_set_terms(_bytes(element)[:VALUE_LIMIT]))
        if own.problem is not None:
            self.findings.add("SpecificCharacterSet", own.problem)
        return own

    def _sign(self, scope: Scope) -> bool:
        element = self.elements.get(_PIXEL_REPRESENTATION)
        if not isinstance(element, RawDataElement):
            return scope.is_signed
        return 1 in _bytes(element)[:2]

    def value(self, tag: int) -> Value | None:
        """The value of the attribute `tag`; None: absent, or left out with a finding."""
        if tag not in self._values:
            element = self.elements.get(tag)
            self._values[tag] = None if element is None else self._convert(tag, element)
        return self._values[tag]

    def _convert(self, tag: int, element: RawDataElement | DataElement) -> Value | None:
        name = attribute_name(tag)
        if isinstance(element, DataElement):
            return self._items(name, element)
        raw = _bytes(element)
        if element.value is None and element.length:
            self.findings.add(name, f"more than {VALUE_LIMIT} bytes, left out")
            return None
        if len(raw) < element.length != _UNDEFINED_LENGTH:
            self.findings.add(name, "cut off by the end of the data, left out")
            return None
        vr = self._representation(tag, name, element, raw)
        if vr == "SQ":
            return self._items(name, element)
        if len(raw) > VALUE_LIMIT:
            self.findings.add(name, f"more than {VALUE_LIMIT} bytes, left out")
            return None
        if vr in TEXT_VRS:
            return Value(vr, self._texts(name, vr, raw), raw=raw)
        if vr in BINARY_VRS:
            if len(raw) > BINARY_LIMIT or tag in _PIXEL_DATA:
                self.findings.add(name, "bulk data, left out")
                return None
            return Value(vr, binary=_little_endian(vr, raw, element), raw=raw)
        return Value(vr, self._numbers(name, vr, raw, element), raw=raw)

    def _representation(self, tag: int, name: str, element: RawDataElement, raw: bytes) -> str:
        """The value representation to read `raw` by: the file's, unless it cannot be right."""
        stated = element.VR
        is_private = bool(tag >> 16 & 1)
        if stated is not None and stated not in _KNOWN_VRS:
            self.findings.add(name, "unknown VR")
        if stated == "UN" or stated not in _KNOWN_VRS:
            stated = None
        if is_private and stated is not None:
            return stated
        if is_private:
            known = _private_representation(tag, self._private_creator(tag))
        else:
            known = _public_representation(tag)
        if stated is None:
            return self._one_of(known or "UN")
        if known is None or stated in known:
            return stated
        self.findings.add(name, f"VR is {stated}, not {known}")
        is_text = raw.isascii() and raw.strip(b" \0").decode("ascii").isprintable()
        if stated not in TEXT_VRS and stated != "SQ" and known in TEXT_VRS and is_text:
            return known
        return stated

    def _one_of(self, known: str) -> str:
        """Settle a representation such as ``US or SS``."""
        if " or " not in known:
            return known if known in _KNOWN_VRS else "UN"
        if "OW" in known:
            return "OW"
        return "SS" if self._scope.is_signed else "US"

    def _private_creator(self, tag: int) -> str:
        block = tag >> 8 & 0xFF
        element = self.elements.get(tag & 0xFFFF0000 | block)
        if not block or not isinstance(element, RawDataElement):
            return ""
        return _bytes(element)[:64].strip(b" \0").decode("ascii", "replace")

    def _items(self, name: str, element: RawDataElement | DataElement) -> Value | None:
        if self._scope.depth >= DEPTH_LIMIT:
            self.findings.add(name, f"nested deeper than {DEPTH_LIMIT} sequences, left out")
            return None
        try:
            items = read_items(element)
        except ValueError:
            self.findings.add(name, "damaged sequence, left out")
            return None
        scope = self._scope._replace(depth=self._scope.depth + 1)
        return Value("SQ", items=tuple(DataSet(item, self.findings, scope) for item in items))

    def _texts(self, name: str, vr: str, raw: bytes) -> tuple[str, ...]:
        delimiters = VALUE_DELIMITERS
        if vr == "PN":
            delimiters = PERSON_NAME_DELIMITERS
        elif vr in _SINGLE_TEXT:
            delimiters = NO_DELIMITERS
        text, problem = decode(raw, self._scope.character_set, delimiters)
        if vr in _DEFAULT_REPERTOIRE and not raw.isascii():
            problem = problem or f"characters that {vr} does not allow"
        if problem is not None:
            self.findings.add(name, problem)
        if vr == "PN":
            names = [person_name(one) for one in text.split("\\")]
            for one in names:
                if one.problem is not None:
                    self.findings.add(name, one.problem)
            texts = tuple(str(one) for one in names)
        elif vr in _SINGLE_TEXT:
            texts = (text,)
        elif vr == "UC":
            texts = tuple(one.rstrip(" \0") for one in text.split("\\"))
        else:
            texts = tuple(one.strip(" \0") for one in text.split("\\"))
        return () if texts == ("",) else texts

    def _numbers(
        self, name: str, vr: str, raw: bytes, element: RawDataElement
    ) -> tuple[Scalar, ...]:
        order = "<" if element.is_little_endian else ">"
        size = 4 if vr == "AT" else struct.calcsize("<" + _NUMBERS[vr])
        count, rest = divmod(len(raw), size)
        if rest:
            self.findings.add(name, f"length is not a multiple of {size}")
            raw = raw[: count * size]
        if vr == "AT":
            numbers = struct.unpack(f"{order}{2 * count}H", raw)
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            return tuple(f"{group:04X}{number:04X}" for group, number in pairs)
        return struct.unpack(f"{order}{count}{_NUMBERS[vr]}", raw)


def _bytes(element: RawDataElement) -> bytes:
    return element.value if isinstance(element.value, bytes) else b""


_WORDS: Final = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}


def _little_endian(vr: str, raw: bytes, element: RawDataElement) -> bytes:
    """PS3.18 F.2.7: inline binary is little endian."""
    size = _WORDS.get(vr, 1)
    if element.is_little_endian or size == 1 or len(raw) % size:
        return raw
    return b"".join(raw[start : start + size][::-1] for start in range(0, len(raw), size))


@lru_cache(maxsize=8192)
def _public_representation(tag: int) -> str | None:
    try:
        return dictionary_VR(tag)
    except KeyError:
        return None


@lru_cache(maxsize=8192)
def _private_representation(tag: int, creator: str) -> str | None:
    if 0x10 <= tag & 0xFFFF <= 0xFF:  # noqa: PLR2004 - PS3.5 7.8.1
        return "LO"
    try:
        return private_dictionary_VR(tag, creator)
    except KeyError:
        return None
