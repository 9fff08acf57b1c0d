"""The few attributes that an event needs, read from the first bytes of a data set.

An iterative scan up to NumberOfFrames: no recursion, no pydicom, no copy of what it skips. It
takes hostile input: deep nesting, lengths beyond the end, deflate bombs.
"""

import re
import struct
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from dicom_pipeline.imaging.text import (
    CharacterSet,
    character_set_terms,
    decode,
    resolve_character_set,
)
from dicom_pipeline.imaging.transfer_syntaxes import EXPLICIT_VR_BIG_ENDIAN
from dicom_pipeline.imaging.vrs import LONG_VRS, SHORT_VRS
from dicom_pipeline.storage import parse_date
from receiver.syntaxes import DEFLATED, IMPLICIT

SPECIFIC_CHARACTER_SET: Final = 0x0008_0005
SOP_CLASS_UID: Final = 0x0008_0016
SOP_INSTANCE_UID: Final = 0x0008_0018
STUDY_DATE: Final = 0x0008_0020
ACCESSION_NUMBER: Final = 0x0008_0050
PATIENT_ID: Final = 0x0010_0020
STUDY_INSTANCE_UID: Final = 0x0020_000D
SERIES_INSTANCE_UID: Final = 0x0020_000E
NUMBER_OF_FRAMES: Final = 0x0028_0008

_WANTED: Final = frozenset(
    {
        SPECIFIC_CHARACTER_SET,
        SOP_CLASS_UID,
        SOP_INSTANCE_UID,
        STUDY_DATE,
        ACCESSION_NUMBER,
        PATIENT_ID,
        STUDY_INSTANCE_UID,
        SERIES_INSTANCE_UID,
        NUMBER_OF_FRAMES,
    }
)
_VALUE_BYTES: Final = 1024
"""No more of a value is looked at."""
_TEXT_LENGTH: Final = 64
"""The limit of an LO: no longer text goes into events and tables."""
_ELEMENTS: Final = 1_000_000
"""No more headers of elements and items are looked at: about a second's work."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_INFLATED: Final = (1 << 18, 1 << 26)
"""How much of a deflated data set is inflated: first, and at most (bytes)."""

_DELIMITERS: Final = 0xFFFE
_ENDS: Final = frozenset({0xFFFE_E00D, 0xFFFE_E0DD})
"""Item and Sequence Delimitation Item."""
_UNDEFINED: Final = 0xFFFF_FFFF
_PLAIN: Final = struct.Struct("<HH2sH")
_LONG: Final = struct.Struct("<I")


class UnreadableDataSetError(Exception):
    """The bytes are not a data set in their transfer syntax. The message holds no values."""


class KeyFields(NamedTuple):
    """What an event says about an object. Absent attributes are empty."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    patient_id: str
    accession_number: str
    study_date: str
    """Eight digits of a day that exists, or empty."""
    number_of_frames: int | None
    complete: bool
    """Whether the scan came past the last attribute or to the data set's proper end."""
    findings: tuple[str, ...]


class _Encoding(NamedTuple):
    explicit: bool
    tag: struct.Struct
    short: struct.Struct
    long: struct.Struct


def _encoding(order: str, *, explicit: bool) -> _Encoding:
    return _Encoding(
        explicit,
        struct.Struct(f"{order}HH"),
        struct.Struct(f"{order}H"),
        struct.Struct(f"{order}I"),
    )


_IMPLICIT_LITTLE: Final = _encoding("<", explicit=False)
_EXPLICIT_LITTLE: Final = _encoding("<", explicit=True)
_EXPLICIT_BIG: Final = _encoding(">", explicit=True)


def read_fields(
    data_set: bytes | memoryview, transfer_syntax_uid: str, character_set: Sequence[str] = ()
) -> KeyFields:
    """The key fields of an encoded data set.

    Args:
        data_set: the bytes as they were received, without group 0002.
        transfer_syntax_uid: how they are encoded; a private syntax may be explicit or implicit.
        character_set: Defined Terms that replace the object's SpecificCharacterSet.

    Raises:
        UnreadableDataSetError: a deflated data set that cannot be inflated.
    """
    if transfer_syntax_uid in DEFLATED:
        values, complete = _scan_deflated(data_set)
    else:
        values, complete = scan(data_set, _encoding_of(data_set, transfer_syntax_uid))
    return _interpret(values, character_set, complete=complete)


def _encoding_of(data_set: bytes | memoryview, transfer_syntax_uid: str) -> _Encoding:
    if transfer_syntax_uid in IMPLICIT:
        return _IMPLICIT_LITTLE
    if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN:
        return _EXPLICIT_BIG
    standard = transfer_syntax_uid.startswith("1.2.840.10008.")
    if standard or _is_vr(bytes(data_set[4:6])):
        return _EXPLICIT_LITTLE
    return _IMPLICIT_LITTLE


def _scan_deflated(data_set: bytes | memoryview) -> tuple[dict[int, bytes], bool]:
    """Inflate only the head, a small one first."""
    values: dict[int, bytes] = {}
    for limit in _INFLATED:
        try:
            head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data_set, limit)
        except zlib.error as error:
            raise UnreadableDataSetError("the deflate stream is broken") from error
        values, complete = scan(head, _EXPLICIT_LITTLE)
        if complete or len(head) < limit:
            return values, complete
    return values, False


def _is_vr(code: bytes) -> bool:
    return code.isalpha() and code.isupper()


class _Header(NamedTuple):
    tag: int
    vr: bytes
    """Empty for items and delimiters, and in implicit VR."""
    length: int
    value: int
    """Where the value begins."""


def _header(data_set: bytes | memoryview, position: int, encoding: _Encoding) -> _Header | None:
    """The header of the element at ``position``; None when it is cut off (PS3.5 7.1)."""
    value = position + 8
    if value > len(data_set):
        return None
    group, element = encoding.tag.unpack_from(data_set, position)
    vr = bytes(data_set[position + 4 : position + 6])
    if not encoding.explicit or group == _DELIMITERS or not _is_vr(vr):
        vr = b""
        (length,) = encoding.long.unpack_from(data_set, position + 4)
    elif vr not in LONG_VRS:
        (length,) = encoding.short.unpack_from(data_set, position + 6)
    else:
        value += 4
        if value > len(data_set):
            return None
        (length,) = encoding.long.unpack_from(data_set, position + 8)
    return _Header(group << 16 | element, vr, length, value)


def scan(data_set: bytes | memoryview, encoding: _Encoding) -> tuple[dict[int, bytes], bool]:
    """The wanted values of the top level, and whether the scan ended where it should."""
    if encoding is _EXPLICIT_LITTLE and (values := _scan_plain(data_set)) is not None:
        return values, True
    return _scan_any(data_set, encoding)


def _scan_plain(data_set: bytes | memoryview) -> dict[int, bytes] | None:
    """The wanted values of an ordinary data set in explicit VR little endian.

    Ordinary: ascending elements with known VRs and defined lengths up to one behind the last wanted
    one. None: it is not, and `_scan_any` must look. Several times as fast, which is felt: this is
    done for every object.
    """
    values: dict[int, bytes] = {}
    position, before, end = 0, 0, len(data_set)
    try:
        while True:
            group, element, vr, length = _PLAIN.unpack_from(data_set, position)
            tag = group << 16 | element
            if tag <= before:
                return None
            before = tag
            position += 8
            if vr not in SHORT_VRS:
                if vr not in LONG_VRS:
                    return None
                (length,) = _LONG.unpack_from(data_set, position)
                position += 4
            if tag > NUMBER_OF_FRAMES:
                return None if group == _DELIMITERS else values
            if length > end - position or length == _UNDEFINED:
                return None
            if tag in _WANTED:
                values[tag] = bytes(data_set[position : position + min(length, _VALUE_BYTES)])
            position += length
    except struct.error:
        return None


def _scan_any(data_set: bytes | memoryview, encoding: _Encoding) -> tuple[dict[int, bytes], bool]:
    """The wanted values of the top level, and whether the scan ended where it should.

    Sequences of defined length are skipped whole; in those of undefined length every element is
    stepped over with a stack of encodings (an element of VR UN and undefined length holds
    implicit VR little endian, PS3.5 6.2.2). After `_ELEMENTS` headers the scan gives up: a data set
    of nothing but empty items would keep it busy for minutes.
    """
    values: dict[int, bytes] = {}
    enclosing: list[_Encoding] = []
    position, end = 0, len(data_set)
    visited = 0
    while position < end:
        visited += 1
        if visited > _ELEMENTS:
            return values, False
        header = _header(data_set, position, encoding)
        if header is None:
            return values, False
        tag, vr, length, position = header
        if tag in _ENDS:
            if enclosing:
                encoding = enclosing.pop()
        elif not enclosing and tag > NUMBER_OF_FRAMES:
            return values, True
        elif length == _UNDEFINED:
            enclosing.append(encoding)
            encoding = _IMPLICIT_LITTLE if vr == b"UN" else encoding
        elif length > end - position:
            return values, False
        else:
            if tag in _WANTED and not enclosing:
                values[tag] = bytes(data_set[position : position + min(length, _VALUE_BYTES)])
            position += length
    return values, not enclosing


def _interpret(
    values: dict[int, bytes], character_set: Sequence[str], *, complete: bool
) -> KeyFields:
    findings: list[str] = []
    terms = tuple(character_set) or character_set_terms(values.get(SPECIFIC_CHARACTER_SET, b""))
    charset = resolve_character_set(terms)
    return KeyFields(
        sop_class_uid=_ascii(values, SOP_CLASS_UID),
        sop_instance_uid=_ascii(values, SOP_INSTANCE_UID),
        study_instance_uid=_ascii(values, STUDY_INSTANCE_UID),
        series_instance_uid=_ascii(values, SERIES_INSTANCE_UID),
        patient_id=_text("PatientID", values.get(PATIENT_ID, b""), charset, findings),
        accession_number=_text(
            "AccessionNumber", values.get(ACCESSION_NUMBER, b""), charset, findings
        ),
        study_date=_study_date(_ascii(values, STUDY_DATE), findings),
        number_of_frames=_number_of_frames(_ascii(values, NUMBER_OF_FRAMES), findings),
        complete=complete,
        findings=tuple(findings),
    )


def _ascii(values: dict[int, bytes], tag: int) -> str:
    return values.get(tag, b"").rstrip(b"\0 ").decode("ascii", "replace")


def _text(keyword: str, value: bytes, charset: CharacterSet, findings: list[str]) -> str:
    """The text as the index stage reads it, so that both mean the same patient."""
    text = decode(value, charset).text
    text = "\\".join(each.strip(" \0") for each in text.split("\\"))
    if _CONTROL.search(text):
        findings.append(f"{keyword}: control characters")
    if len(text) > _TEXT_LENGTH:
        findings.append(f"{keyword}: longer than {_TEXT_LENGTH} characters")
        text = text[:_TEXT_LENGTH]
    return text


def _study_date(text: str, findings: list[str]) -> str:
    text = text.strip()
    if not text:
        return ""
    if parse_date(text):
        return text
    findings.append("StudyDate: not a date")
    return ""


def _number_of_frames(text: str, findings: list[str]) -> int | None:
    text = text.strip()
    if not text:
        return None
    if re.fullmatch(r"\+?[0-9]{1,10}", text) and int(text) < 1 << 31:
        return int(text)
    findings.append("NumberOfFrames: not a number")
    return None
