"""What Stream Load and routine load have in common: JSON records become rows of a table."""

import json
import re
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from dicom_pipeline_tests.services.doris.errors import DorisError
from dicom_pipeline_tests.services.doris.store import Database, define_functions, translated
from dicom_pipeline_tests.services.doris.tables import SEQUENCE, Column, Table
from dicom_pipeline_tests.services.doris.text import parts, tokens
from dicom_pipeline_tests.services.doris.values import RowRefusedError, loaded

_STEP = re.compile(r"\.\"?([^.\[\"]+)\"?|\[(\d+)\]")
_SEQUENCE_VALUE = Column("sequence", "LARGEINT", None, nullable=False)


@dataclass(frozen=True)
class Mapping:
    """How a load reads records.

    Args:
        columns: the COLUMNS clause: names of what is read, and ``column = expression``.
        jsonpaths: a path for each name that is read, by position; empty: by name.
        strict: values that do not fit filter their row instead of becoming NULL.
        zone: what times with a zone are moved to.
        sequence: what is read that orders rows (``function_column.sequence_col``, ORDER BY).
    """

    columns: str = ""
    jsonpaths: Sequence[str] = ()
    strict: bool = False
    zone: str = "Asia/Shanghai"
    sequence: str = ""


@dataclass
class Loaded:
    """What became of records: rows to write, and why others are refused, in Doris' words."""

    rows: list[dict[str, object]] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


class Loader:
    """Reads records for one table.

    Raises:
        DorisError: the mapping does not fit the table.
    """

    def __init__(self, database: Database, table: str, mapping: Mapping) -> None:
        self.database = database
        self.table = database.table(table)
        self._mapping = mapping
        self._read, self._derived = _columns(self.table, mapping)
        self._expressions = _Expressions(self._derived)
        known = {*self._read, *self._derived}
        if mapping.jsonpaths and len(mapping.jsonpaths) > len(self._read):
            raise DorisError("The number of jsonpaths is more than the number of columns")
        if self.table.hidden_sequence and mapping.sequence.lower() not in known:
            raise DorisError(
                f"Table {table} has sequence column, need to specify the sequence column"
            )
        if self.table.sequence and self.table.sequence not in known:
            raise DorisError(f"Table {table} need to specify the sequence column")

    def read(self, lines: Iterable[bytes]) -> Loaded:
        """One JSON object a line."""
        result = Loaded()
        for line in lines:
            try:
                record = dict(json.loads(line))
            except (TypeError, ValueError) as error:
                shown = line[:200].decode("utf-8", "replace")
                result.refused.append(
                    f"Reason: Parse json data for JsonDoc failed. code: 3, error info: {error}. "
                    f"src line [{shown}]; "
                )
                continue
            try:
                result.rows.append(self._row(record))
            except RowRefusedError as refusal:
                shown = json.dumps(record, ensure_ascii=False)
                result.refused.append(f"Reason: {refusal}. src line [{shown}]; ")
        return result

    def write(self, rows: Iterable[dict[str, object]]) -> None:
        self.database.upsert(self.table, rows)

    def _row(self, record: dict[str, object]) -> dict[str, object]:
        source = self._source({name.lower(): value for name, value in record.items()}, record)
        source |= self._expressions.values(source)
        row: dict[str, object] = {}
        for column in self.table.columns:
            value = source.get(column.name, column.default)
            row[column.name] = loaded(
                column, value, strict=self._mapping.strict, zone=self._mapping.zone
            )
        if self.table.hidden_sequence:
            value = source.get(self._mapping.sequence.lower())
            row[SEQUENCE] = loaded(
                _SEQUENCE_VALUE, value, strict=self._mapping.strict, zone=self._mapping.zone
            )
        _check_partition(self.table, row)
        return row

    def _source(self, by_name: dict[str, object], record: object) -> dict[str, object]:
        if not self._mapping.jsonpaths:
            return {name: by_name.get(name) for name in self._read}
        paths = zip(self._read, self._mapping.jsonpaths, strict=False)
        return {name: _at(record, path) for name, path in paths}


class _Expressions:
    """Columns that are computed from what was read."""

    def __init__(self, expressions: dict[str, str]) -> None:
        self._expressions = expressions
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        define_functions(self._connection)

    def values(self, source: dict[str, object]) -> dict[str, object]:
        found = {}
        for name, expression in self._expressions.items():
            sql = "".join(
                f":{token[0].strip('`').lower()}"
                if token[0].strip("`").lower() in source
                else token[0]
                for token in tokens(translated(expression))
            )
            bound = {key: _bound(value) for key, value in source.items()}
            try:
                (found[name],) = self._connection.execute(f"SELECT {sql}", bound).fetchone()
            except sqlite3.Error as error:
                raise RowRefusedError(f"column({name}) cannot be computed: {error}") from None
        return found


def _bound(value: object) -> object:
    if value is None or isinstance(value, (int, float, str)):
        return value
    return json.dumps(value, ensure_ascii=False)


def _columns(table: Table, mapping: Mapping) -> tuple[list[str], dict[str, str]]:
    """Names that are read, and expressions by the column that they make."""
    if not mapping.columns:
        return [column.name for column in table.columns], {}
    read: list[str] = []
    derived: dict[str, str] = {}
    for part in parts(mapping.columns):
        name, equals, expression = part.partition("=")
        name = name.strip(" `\n").lower()
        if not equals:
            read.append(name)
        elif table.column(name) is None:
            raise DorisError(f"Column is not found in table: {name}")
        else:
            derived[name] = expression.strip()
    if len(set(read)) < len(read):
        raise DorisError("Duplicate column in COLUMNS")
    return read, derived


def _at(record: object, path: str) -> object:
    for name, number in _STEP.findall(path):
        if number:
            held = isinstance(record, list) and int(number) < len(record)
            record = record[int(number)] if held else None
        else:
            record = record.get(name) if isinstance(record, dict) else None
    return record


def _check_partition(table: Table, row: dict[str, object]) -> None:
    if table.partition is None:
        return
    today = datetime.now(UTC).date()
    first = today + timedelta(days=int(table.properties.get("dynamic_partition.start", "-100000")))
    last = today + timedelta(days=int(table.properties["dynamic_partition.end"]))
    if not str(first) <= str(row[table.partition])[:10] <= str(last):
        raise RowRefusedError(f"no partition for this tuple. tuple={row}")
