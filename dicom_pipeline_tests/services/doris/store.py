"""What the cluster holds: tables in SQLite, and what its functions mean there."""

import json
import re
import sqlite3
import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import NamedTuple

from dicom_pipeline_tests.services.doris.errors import UNKNOWN_DATABASE, DorisError
from dicom_pipeline_tests.services.doris.tables import INTEGERS, REALS, SEQUENCE, TIMES, Table
from dicom_pipeline_tests.services.doris.text import tokens, unquoted

_BIAS = 1 << 127
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}", re.ASCII)
_AS_ARRAY = re.compile(r"CAST\s*\(([^()]*?)\s+AS\s+ARRAY\s*<\s*STRING\s*>\s*\)", re.IGNORECASE)
_AS_TEXT = re.compile(r"\bAS\s+(?:STRING|VARCHAR(?:\(\d+\))?)\s*\)", re.IGNORECASE)
_NO_TABLE = re.compile(r"no such table: (?:main\.)?(\w+)")


class Result(NamedTuple):
    """The answer to a statement: no columns when it has none to show."""

    columns: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()


class Database:
    """One database. Its tables are SQLite tables behind views that hide the sequence column."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tables: dict[str, Table] = {}
        self.views: dict[str, str] = {}
        self.lock = threading.RLock()
        self._connection = sqlite3.connect(
            ":memory:", check_same_thread=False, detect_types=sqlite3.PARSE_DECLTYPES
        )
        self._connection.isolation_level = None
        self._connection.execute("PRAGMA case_sensitive_like = ON")
        define_functions(self._connection)

    def create_table(self, table: Table, *, if_not_exists: bool) -> None:
        with self.lock:
            if table.name in self.tables:
                if if_not_exists:
                    return
                raise DorisError(f"Table '{table.name}' already exists")
            self._connection.execute(_physical(table))
            shown = ", ".join(f'"{column.name}"' for column in table.columns)
            self._connection.execute(
                f'CREATE VIEW "{table.name}" AS SELECT {shown} FROM "{table.name}__rows"'
            )
            self.tables[table.name] = table

    def create_view(self, name: str, select: str, *, if_not_exists: bool) -> None:
        with self.lock:
            if name in self.views or name in self.tables:
                if if_not_exists:
                    return
                raise DorisError(f"View '{name}' already exists")
            self.query(select)  # what it selects must be there
            self._connection.execute(f'CREATE VIEW "{name}" AS {translated(select)}')
            self.views[name] = select

    def drop(self, kind: str, name: str, *, if_exists: bool) -> None:
        with self.lock:
            held = self.tables if kind == "TABLE" else self.views
            if name not in held:
                if if_exists:
                    return
                raise DorisError(f"Unknown table '{name}'")
            del held[name]
            self._connection.execute(f'DROP VIEW "{name}"')
            if kind == "TABLE":
                self._connection.execute(f'DROP TABLE "{name}__rows"')

    def table(self, name: str) -> Table:
        if name not in self.tables:
            raise DorisError(f"unknown table, tableName={name}")
        return self.tables[name]

    def upsert(self, table: Table, rows: Iterable[Mapping[str, object]]) -> None:
        """Write fitted rows, all or none. Of one key the row of the greatest sequence stays."""
        columns = [column.name for column in table.columns]
        columns += [SEQUENCE] if table.unique else []
        marks = ", ".join("?" for _ in columns)
        sql = f'INSERT INTO "{table.name}__rows" VALUES ({marks})'
        if table.unique:
            keys = ", ".join(f'"{name}"' for name in table.keys)
            updates = ", ".join(
                f'"{name}" = excluded."{name}"' for name in columns if name not in table.keys
            )
            sql += (
                f" ON CONFLICT ({keys}) DO UPDATE SET {updates} "
                f'WHERE excluded."{SEQUENCE}" >= "{table.name}__rows"."{SEQUENCE}"'
            )
        with self.lock:
            self._connection.execute("BEGIN")
            try:
                for row in rows:
                    values = [row.get(name) for name in columns]
                    if table.unique:
                        values[-1] = _sequence(table, row)
                    self._connection.execute(sql, values)
            except BaseException:
                self._connection.execute("ROLLBACK")
                raise
            self._connection.execute("COMMIT")

    def query(self, select: str) -> Result:
        with self.lock:
            try:
                cursor = self._connection.execute(translated(select))
                rows = [tuple(map(_shown, row)) for row in cursor]
            except sqlite3.Error as error:
                if match := _NO_TABLE.search(str(error)):
                    raise DorisError(
                        f"Table [{match[1]}] does not exist in database [{self.name}]."
                    ) from None
                raise DorisError(str(error)) from None
            return Result([name for name, *_ in cursor.description or ()], rows)


class Catalog:
    """The databases of a cluster."""

    def __init__(self) -> None:
        self._databases: dict[str, Database] = {}
        self._lock = threading.Lock()

    def create(self, name: str, *, if_not_exists: bool) -> None:
        with self._lock:
            if name in self._databases:
                if if_not_exists:
                    return
                raise DorisError(f"Can't create database '{name}'; database exists")
            self._databases[name] = Database(name)

    def drop(self, name: str) -> None:
        with self._lock:
            self._databases.pop(name, None)

    def __getitem__(self, name: str | None) -> Database:
        if name is None:
            raise DorisError("No database selected", 1046)
        if name not in self._databases:
            raise DorisError(f"Unknown database '{name}'", UNKNOWN_DATABASE)
        return self._databases[name]

    def __iter__(self):
        return iter(list(self._databases))


def _physical(table: Table) -> str:
    columns = [f'"{column.name}" {_storage(column.type)}' for column in table.columns]
    if table.unique:
        columns += [f'"{SEQUENCE}" TEXT']
    return f'CREATE TABLE "{table.name}__rows" ({", ".join(columns)}{_primary_key(table)})'


def _primary_key(table: Table) -> str:
    keys = ", ".join(f'"{key}"' for key in table.keys)
    return f", PRIMARY KEY ({keys})" if table.unique else ""


def _storage(kind: str) -> str:
    if kind in TIMES:
        return f"DORIS_{kind}_TEXT"
    if kind == "LARGEINT":
        return "TEXT"
    return "INTEGER" if kind in INTEGERS else "REAL" if kind in REALS else "TEXT"


def _sequence(table: Table, row: Mapping[str, object]) -> str:
    """A number as text of fixed length, so that text order is the order of numbers; times as they
    are."""
    value = row.get(SEQUENCE) if table.hidden_sequence else row.get(table.sequence or "", 0)
    if isinstance(value, str):
        return value
    assert value is None or isinstance(value, int)
    return f"{(value or 0) + _BIAS:039d}"


def _shown(value: object) -> object:
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return datetime.fromisoformat(value)
    return value


sqlite3.register_converter("DORIS_DATE_TEXT", lambda text: date.fromisoformat(text.decode()))
sqlite3.register_converter(
    "DORIS_DATETIME_TEXT", lambda text: datetime.fromisoformat(text.decode())
)


def translated(sql: str) -> str:
    """A SELECT in SQLite's words: texts have other quotes and no escapes."""
    pieces = []
    for token in tokens(sql):
        if token["text"]:
            pieces.append("'" + unquoted(token[0]).replace("'", "''") + "'")
        elif token["comment"]:
            pieces.append(" ")
        else:
            pieces.append(token[0])
    text = _AS_ARRAY.sub(r"(\1)", "".join(pieces))
    return _AS_TEXT.sub("AS TEXT)", text)


class _CollectSet:
    def __init__(self) -> None:
        self.values: set[object] = set()

    def step(self, value: object) -> None:
        if value is not None:
            self.values.add(value)

    def finalize(self) -> str:
        return json.dumps(list(self.values))


def _array_join(array: str | None, separator: str) -> str | None:
    return None if array is None else separator.join(map(str, json.loads(array)))


def _array_sort(array: str | None) -> str | None:
    return None if array is None else json.dumps(sorted(json.loads(array)))


def _concat(*values: object) -> str | None:
    return None if None in values else "".join(map(str, values))


def _json_text(document: str | None, path: str) -> str | None:
    """The value at a path of names, e.g. ``$.00100020.Value[0]``, as text."""
    found: object = None if document is None else json.loads(document)
    for name, number in re.findall(r"\.\"?([\w]+)\"?|\[(\d+)\]", path):
        try:
            found = found[int(number)] if number else found[name]  # type: ignore[index]
        except (KeyError, IndexError, TypeError):
            return None
    return found if isinstance(found, str) or found is None else json.dumps(found)


def define_functions(connection: sqlite3.Connection) -> None:
    """Functions of Doris that the product's statements use."""
    connection.create_aggregate("collect_set", 1, _CollectSet)
    connection.create_function("array_join", 2, _array_join, deterministic=True)
    connection.create_function("array_sort", 1, _array_sort, deterministic=True)
    connection.create_function("concat", -1, _concat, deterministic=True)
    connection.create_function("json_extract_string", 2, _json_text, deterministic=True)
    connection.create_function(
        "now", 0, lambda: datetime.now(UTC).replace(tzinfo=None).isoformat(" ", timespec="seconds")
    )
