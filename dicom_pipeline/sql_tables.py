"""Tables for SQLAlchemy, and the one upsert: ordered, idempotent, independent of the order."""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Dialect,
    Double,
    Executable,
    MetaData,
    SmallInteger,
    Table,
    Text,
    TypeDecorator,
    bindparam,
    text,
    tuple_,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.types import TypeEngine

from dicom_pipeline.table_columns import ColumnType, Row, TableColumns

MYSQL_COLLATION: Final = "utf8mb4_bin"
"""Compares code points, as SQLite does, but for trailing spaces: see `Utf8Bytes`."""

_TYPES: Final[Mapping[ColumnType, type[TypeEngine[Any]]]] = {
    int: BigInteger,
    float: Double,
    bool: SmallInteger,
}
_COUNTS: Final = "counts"
_UTF8_BYTES: Final = 4
"""Most bytes of a character."""
_VARCHAR: Final = 1024
"""Longer text is kept beside its row: the VARCHARs of a row have 65,535 bytes together."""


class Utf8Bytes(TypeDecorator[str]):
    """Text as the bytes of its UTF-8.

    The one way in which MySQL and MariaDB both tell ``A1`` from ``A1`` with a space behind it:
    the collation of `MYSQL_COLLATION` pads with spaces before it compares.
    """

    impl = mysql.VARBINARY
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ANN401, ARG002
        return None if value is None else value.encode()

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:  # noqa: ANN401, ARG002
        return None if value is None else bytes(value).decode()


def text_type(length: int | None = None, *, spaces_count: bool = False) -> TypeEngine[str]:
    """The type of a text column of at most ``length`` characters.

    Args:
        length: None for any text.
        spaces_count: whether trailing spaces tell two values apart.
    """
    if length is None:
        return Text().with_variant(mysql.MEDIUMTEXT(collation=MYSQL_COLLATION), "mysql")
    if spaces_count:
        return Text().with_variant(Utf8Bytes(_UTF8_BYTES * length), "mysql")
    if length > _VARCHAR:
        return Text().with_variant(mysql.TEXT(collation=MYSQL_COLLATION), "mysql")
    return Text().with_variant(mysql.VARCHAR(length, collation=MYSQL_COLLATION), "mysql")


def make_table(
    columns: TableColumns,
    metadata: MetaData,
    counts: Sequence[str] = (),
    *,
    lengths: Mapping[str, int | None] | None = None,
    spaces_count: Collection[str] = (),
) -> Table:
    """The table of ``columns``, and of ``counts``: integers that the database derives itself.

    Args:
        columns: its columns.
        metadata: what it becomes part of.
        counts: names of the integers.
        lengths: the longest text of each text column, for databases that ask for it.
        spaces_count: the text columns in which trailing spaces count.
    """
    longest = lengths or {}

    def type_of(name: str, kind: ColumnType) -> TypeEngine[Any]:
        if kind is str:
            return text_type(longest.get(name), spaces_count=name in spaces_count)
        return _TYPES[kind]()

    return Table(
        columns.name,
        metadata,
        *(
            Column(
                column.name,
                type_of(column.name, column.type),
                primary_key=column.name in columns.key,
                nullable=not column.required and column.default is None,
                autoincrement=False,
            )
            for column in columns.columns
        ),
        *(Column(name, BigInteger, nullable=False, info={_COUNTS: True}) for name in counts),
    )


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Row],
    order: Sequence[str] = ("row_version", "trace_id"),
) -> None:
    """Insert ``rows``, or update the row of the same key unless it is greater in ``order``.

    Each row has every column but the counts. Of a row that is there, a lock is held until the
    transaction ends, whether it was changed or not.
    """
    if rows:
        statement = _UPSERTS[connection.dialect.name](table, tuple(order))
        connection.execute(statement, [dict(row) for row in rows])


def insert_missing(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Insert those of ``rows`` whose keys are not there; lock the others and leave them alone."""
    if rows:
        statement = _INSERTS[connection.dialect.name](table)
        connection.execute(statement, [dict(row) for row in rows])


def set_counts(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Set the counts of rows that are there and locked. Each of ``rows`` has the key and counts."""
    if rows:
        if connection.dialect.name == "mysql":
            connection.execute(_mysql_counting(table), [_filled(table, row) for row in rows])
        else:
            connection.execute(_sqlite_counting(table), [dict(row) for row in rows])


def _written(table: Table) -> list[Column[Any]]:
    return [column for column in table.columns if not column.info.get(_COUNTS)]


def _updated(table: Table) -> list[str]:
    return [column.name for column in _written(table) if not column.primary_key]


def _sqlite_upsert(table: Table, order: tuple[str, ...]) -> Executable:
    insert = sqlite.insert(table)
    return insert.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: insert.excluded[name] for name in _updated(table)},
        where=tuple_(*(insert.excluded[name] for name in order))
        >= tuple_(*(table.c[name] for name in order)),
    )


def _sqlite_insert(table: Table) -> Executable:
    return sqlite.insert(table).on_conflict_do_nothing()


@lru_cache
def _mysql_upsert(table: Table, order: tuple[str, ...]) -> Executable:
    new = ", ".join(f"VALUES({name})" for name in order)
    newer = f"({new}) >= ({', '.join(order)})"
    # The assignments are made from left to right, and each sees those before it. So what decides
    # comes last, the least of it first: then the condition stays what it was.
    names = [name for name in _updated(table) if name not in order]
    assignments = (
        f"{name} = IF({newer}, VALUES({name}), {name})" for name in (*names, *reversed(order))
    )
    return _mysql_insertion(table, _written(table), ", ".join(assignments))


@lru_cache
def _mysql_insert(table: Table) -> Executable:
    key = next(iter(table.primary_key.columns)).name
    return _mysql_insertion(table, _written(table), f"{key} = {key}")


@lru_cache
def _sqlite_counting(table: Table) -> Executable:
    assignments = ", ".join(f"{name} = :{name}" for name in _counts(table))
    own = " AND ".join(f"{column.name} = :{column.name}" for column in table.primary_key.columns)
    return text(f"UPDATE {table.name} SET {assignments} WHERE {own}")  # noqa: S608 - our own names


@lru_cache
def _mysql_counting(table: Table) -> Executable:
    """One statement for many rows: of an UPDATE, the driver would send one for each.

    The rows are there, so nothing is inserted; but the server wants a value for every column that
    has to have one, see `_filled`.
    """
    counts = _counts(table)
    columns = [column for column in table.columns if not column.nullable]
    assignments = ", ".join(f"{name} = VALUES({name})" for name in counts)
    return _mysql_insertion(table, columns, assignments)


def _filled(table: Table, row: Row) -> Row:
    empty = {c.name: 0 if isinstance(c.type, BigInteger) else "" for c in table.columns}
    return {name: row.get(name, empty[name]) for name in empty if not table.c[name].nullable}


def _counts(table: Table) -> list[str]:
    return [column.name for column in table.columns if column.info.get(_COUNTS)]


def _mysql_insertion(table: Table, columns: Sequence[Column[Any]], on_duplicate: str) -> Executable:
    """Plain text: SQLAlchemy's own construct names the new row in a way that MariaDB refuses."""
    names = ", ".join(column.name for column in columns)
    values = ", ".join(f":{column.name}" for column in columns)
    return text(
        f"INSERT INTO {table.name} ({names}) VALUES ({values}) "  # noqa: S608 - our own names
        f"ON DUPLICATE KEY UPDATE {on_duplicate}"
    ).bindparams(*(bindparam(column.name, type_=column.type) for column in columns))


_UPSERTS: Final[Mapping[str, Callable[[Table, tuple[str, ...]], Executable]]] = {
    "sqlite": _sqlite_upsert,
    "mysql": _mysql_upsert,
}
_INSERTS: Final[Mapping[str, Callable[[Table], Executable]]] = {
    "sqlite": _sqlite_insert,
    "mysql": _mysql_insert,
}
