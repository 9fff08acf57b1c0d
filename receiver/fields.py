"""The few attributes that an event needs, read from the first bytes of a data set."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from dicom_pipeline.imaging.text import (
    CharacterSet,
    character_set_terms,
    decode,
    resolve_character_set,
)
from dicom_pipeline.storage import parse_date
from receiver.scan import (
    ACCESSION_NUMBER,
    NUMBER_OF_FRAMES,
    PATIENT_ID,
    SERIES_INSTANCE_UID,
    SOP_CLASS_UID,
    SOP_INSTANCE_UID,
    SPECIFIC_CHARACTER_SET,
    STUDY_DATE,
    STUDY_INSTANCE_UID,
    Found,
    Scanner,
)

_TEXT_LENGTH: Final = 64
"""The limit of an LO: no longer text goes into events and tables."""
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


class KeyFields(NamedTuple):
    """What an event says about an object. Absent attributes are empty."""

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    patient_id: str
    accession_number: str
    study_date: str
    """Eight digits of a day that exists, or empty."""
    number_of_frames: int | None
    complete: bool
    """Whether the scan came past the last attribute or to the data set's proper end."""
    past: bool
    """Whether it came past the last attribute: no matter what follows."""
    findings: tuple[str, ...]


class FieldReader:
    """Reads the key fields of objects that come one after another.

    Those of a series have most values in common: they are looked at once.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._scanner = Scanner()
        self._known: tuple[Found, Sequence[str]] | None = None
        """What the fields below were read from, but for the SOP Instance UID."""
        self._fields: KeyFields | None = None

    def read(
        self,
        data_set: bytes | memoryview,
        transfer_syntax_uid: str,
        character_set: Sequence[str] = (),
    ) -> KeyFields:
        """See `read_fields`."""
        found = self._scanner.scan(data_set, transfer_syntax_uid)
        instance = found.values.pop(SOP_INSTANCE_UID, b"")
        source = (found, character_set)
        if self._fields is None or source != self._known:
            self._fields, self._known = _interpret(found, character_set), source
        return KeyFields(_ascii(instance), *self._fields[1:])


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
    return FieldReader().read(data_set, transfer_syntax_uid, character_set)


def _interpret(found: Found, character_set: Sequence[str]) -> KeyFields:
    """All but the SOP Instance UID."""
    values = found.values
    findings: list[str] = []
    terms = tuple(character_set) or character_set_terms(values.get(SPECIFIC_CHARACTER_SET, b""))
    charset = resolve_character_set(terms)
    return KeyFields(
        sop_class_uid=_ascii(values.get(SOP_CLASS_UID)),
        sop_instance_uid="",
        study_instance_uid=_ascii(values.get(STUDY_INSTANCE_UID)),
        series_instance_uid=_ascii(values.get(SERIES_INSTANCE_UID)),
        patient_id=_text("PatientID", values.get(PATIENT_ID, b""), charset, findings),
        accession_number=_text(
            "AccessionNumber", values.get(ACCESSION_NUMBER, b""), charset, findings
        ),
        study_date=_study_date(_ascii(values.get(STUDY_DATE)), findings),
        number_of_frames=_number_of_frames(_ascii(values.get(NUMBER_OF_FRAMES)), findings),
        complete=found.complete,
        past=found.past,
        findings=tuple(findings),
    )


def _ascii(value: bytes | None) -> str:
    return (value or b"").rstrip(b"\0 ").decode("ascii", "replace")


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
