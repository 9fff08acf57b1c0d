"""Rows as Doris takes them: what it would refuse is found and mended, or told, before a load."""

import math
import re
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from dicom_pipeline.errors import PermanentError
from dicom_pipeline.table_columns import Row
from dicom_pipeline.warehouse.columns import TABLES
from dicom_pipeline.warehouse.doris.types import (
    DATE,
    DATETIME,
    JSON,
    KEYS,
    ROW_ORDER,
    SEQUENCES,
    TYPES,
    DorisType,
)

_TIE_BITS: Final = 62
"""Random bits at the end of a UUID version 7: the bits before them come from the version."""
_TIE_DIGITS: Final = re.compile(
    r"[0-9a-f]{8}(?:-[0-9a-f]{4}){2}-([89ab][0-9a-f]{3})-([0-9a-f]{12})"
)
_DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_INT64: Final = range(-(2**63), 2**63)
_INT8: Final = range(-128, 128)


class Fitting:
    """Fits the rows of one table.

    Args:
        table: its name.
        json_bytes: the longest JSON that backends take (``jsonb_type_length_soft_limit_bytes``).
    """

    def __init__(self, table: str, json_bytes: int) -> None:
        self._table = table
        self._json_bytes = json_bytes
        self._types = TYPES[table]
        self._uncut = frozenset(KEYS[table]) | {
            column.name for column in TABLES[table].columns if column.required
        }

    def fit(self, row: Row) -> dict[str, object]:
        """A complete row, ready to be written as JSON.

        Text that is too long is cut, JSON that is too long loses its largest members, each with a
        finding where the table has findings: one odd object never holds up the rest.

        Raises:
            PermanentError: a value can be neither stored nor cut. The message has no value.
        """
        fitted: dict[str, object] = {}
        findings: list[str] = []
        for name, value in row.items():
            if name != "findings":
                fitted[name] = None if value is None else self._value(name, value, findings)
        if "findings" in row:
            told = [text for text in (str(row["findings"]), *findings) if text]
            fitted["findings"] = self._value("findings", "\n".join(told), [])
        if SEQUENCES[self._table] == ROW_ORDER:
            fitted[ROW_ORDER] = self._row_order(row)
        return fitted

    def _value(self, name: str, value: object, findings: list[str]) -> object:
        kind = self._types[name]
        if not isinstance(value, str):
            return self._number(name, kind, value)
        if kind == DATETIME:
            return self._moment(name, value)
        if kind == DATE:
            return self._day(name, value)
        if kind == JSON:
            return self._json(name, value, findings)
        return self._text(name, value, kind.size or 0, findings)

    def _number(self, name: str, kind: DorisType, value: object) -> object:
        if kind.name in _INTEGERS:
            assert isinstance(value, int)
            if int(value) not in _INTEGERS[kind.name]:
                raise self._unfit(name)
            return int(value)
        assert isinstance(value, (int, float))
        if not math.isfinite(value):
            raise self._unfit(name)
        return float(value)

    def _text(self, name: str, value: str, size: int, findings: list[str]) -> str:
        encoded = self._encoded(name, value)
        if len(encoded) <= size:
            return value
        if name in self._uncut:
            raise self._unfit(name)
        findings.append(f"{name}: longer than {size} bytes, cut")
        return encoded[:size].decode("utf-8", "ignore")

    def _json(self, name: str, value: str, findings: list[str]) -> str | None:
        size = len(self._encoded(name, value))
        if size <= self._json_bytes:
            return value
        findings.append(f"{name}: longer than {self._json_bytes} bytes, its largest parts left out")
        try:
            content = msgspec.json.decode(value)
        except msgspec.DecodeError:
            raise self._unfit(name) from None
        if not isinstance(content, dict):
            return None
        sizes = {key: len(msgspec.json.encode({key: part})) for key, part in content.items()}
        for key in sorted(sizes, key=lambda key: (-sizes[key], key)):
            if size <= self._json_bytes:
                break
            size -= sizes[key] - 1
            del content[key]
        return msgspec.json.encode(content).decode()

    def _moment(self, name: str, value: str) -> str:
        """UTC without its mark: the table's times have no zone."""
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise self._unfit(name) from None
        if moment.utcoffset() != timedelta(0):
            raise self._unfit(name)
        return moment.replace(tzinfo=None).isoformat(" ", timespec="microseconds")

    def _day(self, name: str, value: str) -> str:
        if not _DAY.fullmatch(value):
            raise self._unfit(name)
        try:
            date.fromisoformat(value)
        except ValueError:
            raise self._unfit(name) from None
        return value

    def _row_order(self, row: Row) -> str:
        """``(row_version, trace_id)`` as a LARGEINT; as text, for JSON's numbers are shorter."""
        version, trace_id = row["row_version"], row["trace_id"]
        assert isinstance(version, int)
        match = _TIE_DIGITS.fullmatch(str(trace_id))
        if not match:
            raise PermanentError(
                f"column trace_id of table {self._table} cannot hold what is no UUID in lower case"
            )
        tie = int(match[1] + match[2], 16) & ((1 << _TIE_BITS) - 1)
        return str(version << _TIE_BITS | tie)

    def _encoded(self, name: str, value: str) -> bytes:
        try:
            return value.encode()
        except UnicodeEncodeError:  # it quotes the text
            raise self._unfit(name) from None

    def _unfit(self, name: str) -> PermanentError:
        kind = self._types[name]
        return PermanentError(
            f"table {self._table}: a value does not fit its column: {name} {kind}"
        )


_INTEGERS: Final[Mapping[str, range]] = {"BIGINT": _INT64, "TINYINT": _INT8}
