"""Catalog columns as DICOM attributes in the form that OHIF calls naturalized: keyword to value.

An attribute with one value is that value, one with several is an array; what is absent is left out.
"""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from typing import Final

from dicom_pipeline.imaging.tag_columns import IMAGE, PATIENT, SERIES, STUDY, Kind, TagColumn
from dicom_pipeline.table_columns import Row

Value = str | int | float | list[str] | list[float] | list[int] | dict[str, str]
Attributes = dict[str, Value]

OF_PATIENT: Final = ("PatientID", "PatientBirthDate", "PatientSex")
OF_STUDY: Final = (
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "StudyID",
    "AccessionNumber",
    "PatientAge",
    "PatientWeight",
)
OF_SERIES: Final = (
    "SeriesInstanceUID",
    "SeriesNumber",
    "SeriesDate",
    "SeriesTime",
    "SeriesDescription",
    "Modality",
    "BodyPartExamined",
)
OF_INSTANCE: Final = tuple(
    column.keyword for column in IMAGE if column.keyword not in {"PatientID", "ImageComments"}
)
OF_PIXELS: Final = (
    "TransferSyntaxUID",
    "PhotometricInterpretation",
    "SamplesPerPixel",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "RescaleIntercept",
    "RescaleSlope",
)
"""What describes the pixels of a file, and differs between an original and its display copy."""

_COLUMNS: Final[Mapping[str, TagColumn]] = {
    column.keyword: column
    for column in (*PATIENT, *STUDY, *SERIES, *IMAGE)
    if column.keyword != "PatientName"  # three columns: see `person_name`
}
_ARRAYS_OF_TEXT: Final = frozenset({"ImageType"})
_ARRAYS_OF_NUMBERS: Final = frozenset(
    {
        "ImageOrientationPatient",
        "ImagePositionPatient",
        "PixelSpacing",
        "WindowCenter",
        "WindowWidth",
    }
)


def column_names(keywords: Iterable[str]) -> list[str]:
    """The columns that hold these attributes."""
    return [_COLUMNS[keyword].name for keyword in keywords]


def attributes(row: Row, keywords: Collection[str]) -> Attributes:
    """What a row tells of these attributes."""
    found = ((keyword, _value(keyword, row[_COLUMNS[keyword].name])) for keyword in keywords)
    return {keyword: value for keyword, value in found if value is not None}


def _value(keyword: str, stored: object) -> Value | None:
    if stored is None or stored == "":
        return None
    if isinstance(stored, int | float):
        return stored
    text = str(stored)
    kind = _COLUMNS[keyword].kind
    if kind is Kind.DATE:
        return text.replace("-", "")
    if kind is Kind.TIME:
        return text.replace(":", "")
    if keyword in _ARRAYS_OF_TEXT:
        return text.split("\\")
    if keyword in _ARRAYS_OF_NUMBERS:
        return _numbers(text)
    return text


def _numbers(text: str) -> list[float] | None:
    """None: what is no number helps nobody to lay out pictures."""
    with suppress(ValueError):
        return [float(part) for part in text.split("\\")]
    return None


def person_name(row: Row) -> str:
    """PatientName as DICOM writes it (PS3.5 6.2): component groups joined by ``=``."""
    groups = ("alphabetic", "ideographic", "phonetic")
    return "=".join(str(row[f"patient_name_{group}"] or "") for group in groups).rstrip("=")
