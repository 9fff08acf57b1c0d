"""How a load turns what it reads into the values of a column, strictly or not."""

import json
import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import ZoneInfo

from dicom_pipeline_tests.services.doris.tables import INTEGERS, REALS, TEXTS, Column

JSON_BYTES = 1 << 20
"""``jsonb_type_length_soft_limit_bytes`` as it comes."""
_MOMENT = re.compile(
    r"(\d{4}-\d\d-\d\d|\d{8})(?:[ T](\d\d:\d\d:\d\d)(\.\d+)?)?(Z|[+-]\d\d:\d\d)?", re.ASCII
)


class RowRefusedError(Exception):
    """Why a row is filtered. Doris' own texts quote the value, so this one does."""


def loaded(column: Column, value: object, *, strict: bool, zone: str) -> object:
    """The value that is stored.

    Raises:
        RowRefusedError: the row is filtered.
    """
    stored = None if value is None else _converted(column, value, strict=strict, zone=zone)
    if stored is None and not column.nullable:
        raise RowRefusedError(
            f"column_name[{column.name}], null value for not null column, type={column.type}"
        )
    if isinstance(stored, str) and column.type in {"VARCHAR", "CHAR"}:
        assert column.size is not None
        if not strict:  # cuts characters, not bytes: Chinese text may still be too long
            stored = stored[: column.size]
        size = len(stored.encode())
        if size > column.size:
            raise RowRefusedError(
                f"column_name[{column.name}], the length of input is too long than schema. "
                f"first 32 bytes of input str: [{stored[:32]}] schema length: {column.size}; "
                f"actual length: {size}; "
            )
    return stored


def _converted(column: Column, value: object, *, strict: bool, zone: str) -> object:
    try:
        return _parsed(column, value, zone)
    except (ValueError, InvalidOperation):
        if strict:
            raise RowRefusedError(
                f"column({column.name}) value is incorrect while strict mode is true, "
                f"src value is {value}"
            ) from None
        return None


def _parsed(column: Column, value: object, zone: str) -> object:
    if column.type in INTEGERS:
        number = int(Decimal(_text(value)))
        bound = 1 << (INTEGERS[column.type] - 1)
        if not -bound <= number < bound:
            raise ValueError(number)
        return number
    if column.type in REALS:
        return float(_text(value))
    if column.type in TEXTS:
        return _text(value)
    if column.type in {"JSON", "VARIANT"}:
        document = json.dumps(
            json.loads(value) if isinstance(value, str) else value,
            ensure_ascii=False,
            separators=(",", ":"),
        )
        if len(document.encode()) > JSON_BYTES:
            raise ValueError("the length of the JSON is too long")
        return document
    return _moment(column, _text(value), zone)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(int(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _moment(column: Column, text: str, zone: str) -> str:
    match = _MOMENT.fullmatch(text)
    if not match:
        raise ValueError(text)
    day = date.fromisoformat(match[1])
    if column.type == "DATE":
        return day.isoformat()
    digits = column.size or 0
    fraction = round(Decimal(match[3] or "0"), digits)
    moment = datetime.fromisoformat(f"{day}T{match[2] or '00:00:00'}")
    moment += timedelta(microseconds=int(fraction * 1_000_000))
    if match[4]:  # a time with a zone is moved into that of the load
        there = moment.replace(
            tzinfo=datetime.fromisoformat(f"{day}T00:00{match[4]}").tzinfo or UTC
        )
        moment = there.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    return moment.isoformat(" ", timespec="microseconds" if digits else "seconds")
