"""Where a live database deviates from the schema that the migrations have made.

What is compared: tables and views, columns with type, collation and whether they may be NULL, keys,
and indexes. An index that somebody has added is no deviation unless it is unique.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any, Final

from sqlalchemy import Connection, Dialect, Inspector, MetaData, String, Table, inspect, text
from sqlalchemy.types import TypeEngine

_SQLITE_TYPES: Final = {"BIGINT": "INTEGER", "SMALLINT": "INTEGER", "DOUBLE": "REAL"}
"""SQLite's STRICT tables know few types."""
_WIDTH: Final = re.compile(r"(INT|INTEGER)\(\d+\)")
"""How wide MariaDB would print an integer."""
_CHARACTER_SET: Final = re.compile(r" CHARACTER SET \w+")
"""The collation tells it."""
_ENGINE: Final = "InnoDB"
"""Transactions and locks of rows."""
_PROGRESS: Final = "schema_migration_progress"


def drift(connection: Connection, declared: MetaData, views: Collection[str]) -> list[str]:
    """Every deviation as a sentence; empty when the schema is as the migrations have made it.

    Args:
        connection: to the migrated database.
        declared: its tables with their indexes.
        views: the names of its views.
    """
    live = inspect(connection)
    there = set(live.get_table_names())
    found = list(_interrupted(connection, there))
    for table in declared.sorted_tables:
        if table.name in there:
            found += _engine(live, table)
            found += _columns(live, table, connection.dialect)
            found += _key(live, table)
            found += _indexes(live, table)
        else:
            found.append(f"table {table.name} is missing")
    found += [f"view {name} is missing" for name in sorted({*views} - {*live.get_view_names()})]
    return found


def _interrupted(connection: Connection, tables: Collection[str]) -> Iterator[str]:
    if _PROGRESS not in tables:
        return
    query = (
        f"SELECT number, statements FROM {_PROGRESS} "  # noqa: S608 - our own name
        "WHERE number NOT IN (SELECT number FROM schema_migration)"
    )
    for row in connection.execute(text(query)):
        yield (
            f"migration {row.number:04d} was interrupted after {row.statements} of its statements: "
            "run `dicom-pipeline migrate`, which goes on from there"
        )


def _engine(live: Inspector, table: Table) -> Iterator[str]:
    engine = live.get_table_options(table.name).get("mysql_engine", _ENGINE)
    if engine != _ENGINE:
        yield f"table {table.name} is in the storage engine {engine}, not {_ENGINE}"


def _columns(live: Inspector, table: Table, dialect: Dialect) -> Iterator[str]:
    collation = live.get_table_options(table.name).get("mysql_collate")
    found = {c["name"]: c for c in live.get_columns(table.name)}
    for column in table.columns:
        where = f"column {column.name} of table {table.name}"
        if column.name not in found:
            yield f"{where} is missing"
            continue
        other = found.pop(column.name)
        expected = _written(column.type, dialect)
        is_now = _written(_collated(other["type"], collation), dialect)
        if expected != is_now:
            yield f"{where} is {is_now}, not {expected}"
        if column.nullable != other["nullable"]:
            yield f"{where} {'may' if other['nullable'] else 'must not'} be NULL"
    for name in found:
        yield f"column {name} of table {table.name} is none of ours"


def _collated(kind: TypeEngine[Any], collation: str | None) -> TypeEngine[Any]:
    """A live type with the collation that it has from its table."""
    if collation and isinstance(kind, String) and not kind.collation:
        kind.collation = collation
    return kind


def _written(kind: TypeEngine[Any], dialect: Dialect) -> str:
    name = kind.compile(dialect=dialect)
    if dialect.name == "sqlite":
        return _SQLITE_TYPES.get(name, name)
    return _CHARACTER_SET.sub("", _WIDTH.sub(r"\1", name))


def _key(live: Inspector, table: Table) -> Iterator[str]:
    expected = [column.name for column in table.primary_key.columns]
    found = live.get_pk_constraint(table.name)["constrained_columns"]
    if found != expected:
        yield f"the key of table {table.name} is {_listed(found)}, not {_listed(expected)}"


def _indexes(live: Inspector, table: Table) -> Iterator[str]:
    found = {i["name"]: i for i in live.get_indexes(table.name)}
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        other = found.pop(str(index.name), None)
        expected = [column.name for column in index.columns]
        if other is None:
            yield f"index {index.name} of table {table.name} is missing"
        elif other["column_names"] != expected:
            columns = f"on {_listed(other['column_names'])}, not {_listed(expected)}"
            yield f"index {index.name} of table {table.name} is {columns}"
    for name, other in found.items():
        if other["unique"]:
            yield f"the unique index {name} of table {table.name} is none of ours"


def _listed(names: Collection[str | None]) -> str:
    return f"({', '.join(str(name) for name in names)})"
