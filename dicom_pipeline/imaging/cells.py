"""Values of a data set as the columns of the tables, by `Kind`.

Whatever a modality has sent, a column gets a value of its kind or None, and a finding says what was
wrong.
"""

import datetime as dt
import math
import re
from collections.abc import Callable
from typing import Final

import msgspec
from pydicom.datadict import tag_for_keyword

from dicom_pipeline.imaging.findings import Findings
from dicom_pipeline.imaging.tag_columns import Kind, TagColumn
from dicom_pipeline.imaging.text import person_name
from dicom_pipeline.imaging.values import BINARY_VRS, TEXT_VRS, DataSet, Value

Cell = str | int | float | None

_INTEGER: Final = re.compile(r"[+-]?\d{1,32}", re.ASCII)
_DECIMAL: Final = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?", re.ASCII)
_INT64: Final = range(-(2**63), 2**63)
_DATE: Final = re.compile(r"(\d{4})(\d\d)(\d\d)(\d*)", re.ASCII)
_RETIRED_DATE: Final = re.compile(r"(\d{4})[.-](\d\d)[.-](\d\d)()", re.ASCII)
"""ACR-NEMA 2.0 wrote dots (PS3.5 6.2, DA); hyphens come from programs that think in ISO 8601."""
_TIME: Final = re.compile(r"(\d\d)(?:(\d\d)(?:(\d\d)(?:\.(\d+))?)?)?", re.ASCII)
_RETIRED_TIME: Final = re.compile(r"(\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?", re.ASCII)
_LAST_HOUR, _LAST_MINUTE, _LEAP_SECOND = 23, 59, 60

_CODE_VALUES: Final = tuple(
    tag_for_keyword(keyword) for keyword in ("CodeValue", "LongCodeValue", "URNCodeValue")
)
_CODING_SCHEME: Final = tag_for_keyword("CodingSchemeDesignator")
_CODE_MEANING: Final = tag_for_keyword("CodeMeaning")


def cell(dataset: DataSet, column: TagColumn) -> Cell:
    """The value of `column` for `dataset`; None: absent, empty or nothing that fits its kind."""
    tag = tag_for_keyword(column.keyword)
    value = None if tag is None else dataset.value(tag)
    if value is None:
        return None
    result = _CONVERSIONS[column.kind](value, column.keyword, dataset.findings)
    if isinstance(result, str) and column.length is not None:
        return cut(result, column, dataset.findings)
    return result


def cut(text: str, column: TagColumn, findings: Findings) -> str:
    """`text`, no longer than the column."""
    if column.length is not None and len(text) > column.length:
        findings.add(column.keyword, f"longer than {column.length} characters, cut")
        return text[: column.length]
    return text


def _text(value: Value, keyword: str, findings: Findings) -> str | None:
    if value.vr in BINARY_VRS or value.vr == "SQ":
        if value.raw or value.items:
            findings.add(keyword, f"VR {value.vr} holds no text, left out")
        return None
    return "\\".join(str(one) for one in value.values) or None


def _first_text(value: Value, keyword: str, findings: Findings) -> str | None:
    """The first of what should be one value."""
    if value.vr in BINARY_VRS or value.vr == "SQ":
        return _text(value, keyword, findings)
    if len(value.values) > 1:
        findings.add(keyword, "several values, the first is kept")
    return str(value.values[0]) if value.values else None


def _name_alphabetic(value: Value, keyword: str, findings: Findings) -> str | None:
    return person_name(_first_text(value, keyword, findings) or "").alphabetic or None


def _name_ideographic(value: Value, keyword: str, findings: Findings) -> str | None:
    return person_name(_first_text(value, keyword, findings) or "").ideographic or None


def _name_phonetic(value: Value, keyword: str, findings: Findings) -> str | None:
    return person_name(_first_text(value, keyword, findings) or "").phonetic or None


def _number_text(value: Value, keyword: str, findings: Findings) -> str | None:
    """The text of one number, also where a modality has written text under a binary VR."""
    text = value.raw.strip(b" \0")
    if value.vr not in TEXT_VRS and len(value.values) != 1 and text.isdigit():
        findings.add(keyword, f"text under VR {value.vr}")
        return text.decode("ascii")
    return _first_text(value, keyword, findings)


def _integer(value: Value, keyword: str, findings: Findings) -> int | None:
    text = _number_text(value, keyword, findings)
    if not text:
        return None
    is_integer = _INTEGER.fullmatch(text) is not None
    if is_integer:
        number = int(text)
    else:
        decimal = float(text) if _DECIMAL.fullmatch(text) else math.nan
        if not math.isfinite(decimal):
            findings.add(keyword, "not an integer, left out")
            return None
        number = int(decimal)
    if number not in _INT64:
        findings.add(keyword, "beyond 64 bits, left out")
        return None
    if not is_integer:
        findings.add(keyword, "not written as an integer")
    return number


def _real(value: Value, keyword: str, findings: Findings) -> float | None:
    text = _number_text(value, keyword, findings)
    if not text:
        return None
    number = float(text) if _DECIMAL.fullmatch(text) else math.nan
    if not math.isfinite(number):
        findings.add(keyword, "not a finite number, left out")
        return None
    return number


def _date(value: Value, keyword: str, findings: Findings) -> str | None:
    text = _first_text(value, keyword, findings)
    if not text:
        return None
    match = _DATE.fullmatch(text)
    if match is None and (match := _RETIRED_DATE.fullmatch(text)):
        findings.add(keyword, "not written as YYYYMMDD")
    if match is not None:
        if match[4]:
            findings.add(keyword, "more than a date, the rest left out")
        try:
            return dt.date(int(match[1]), int(match[2]), int(match[3])).isoformat()
        except ValueError:
            pass
    findings.add(keyword, "not a date, left out")
    return None


def _time(value: Value, keyword: str, findings: Findings) -> str | None:
    text = _first_text(value, keyword, findings)
    if not text:
        return None
    match = _TIME.fullmatch(text)
    if match is None and (match := _RETIRED_TIME.fullmatch(text)):
        findings.add(keyword, "not written as HHMMSS")
    if match is not None:
        hour, minute, second = (int(part or 0) for part in match.group(1, 2, 3))
        fraction = match[4] or ""
        if len(fraction) > 6:  # noqa: PLR2004 - microseconds
            findings.add(keyword, "finer than microseconds, cut")
        if second == _LEAP_SECOND:
            findings.add(keyword, "leap second, kept as the second before")
            second = _LEAP_SECOND - 1
        if hour <= _LAST_HOUR and minute <= _LAST_MINUTE and second < _LEAP_SECOND:
            return f"{hour:02}:{minute:02}:{second:02}.{fraction[:6]:0<6}"
    findings.add(keyword, "not a time, left out")
    return None


def _codes(value: Value, keyword: str, findings: Findings) -> str | None:
    if value.vr != "SQ":
        findings.add(keyword, f"VR {value.vr} holds no codes, left out")
        return None
    codes = [
        {
            "value": _code_part(item, *_CODE_VALUES),
            "scheme": _code_part(item, _CODING_SCHEME),
            "meaning": _code_part(item, _CODE_MEANING),
        }
        for item in value.items
    ]
    return msgspec.json.encode(codes).decode("utf-8") if codes else None


def _code_part(item: DataSet, *tags: int | None) -> str | None:
    for tag in tags:
        value = None if tag is None else item.value(tag)
        if value is not None and value.values:
            return "\\".join(str(one) for one in value.values)
    return None


_CONVERSIONS: Final[dict[Kind, Callable[[Value, str, Findings], Cell]]] = {
    Kind.TEXT: _text,
    Kind.PERSON_NAME: _text,
    Kind.NAME_ALPHABETIC: _name_alphabetic,
    Kind.NAME_IDEOGRAPHIC: _name_ideographic,
    Kind.NAME_PHONETIC: _name_phonetic,
    Kind.DATE: _date,
    Kind.TIME: _time,
    Kind.INTEGER: _integer,
    Kind.REAL: _real,
    Kind.CODES: _codes,
}
