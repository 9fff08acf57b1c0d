"""Tables for SQLAlchemy, and the one upsert: ordered, idempotent, independent of the order."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    MetaData,
    SmallInteger,
    Table,
    Text,
    tuple_,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.types import TypeEngine

from dicom_pipeline.table_columns import ColumnType, Row, TableColumns

_TYPES: Final[Mapping[ColumnType, type[TypeEngine[Any]]]] = {
    str: Text,
    int: BigInteger,
    float: Double,
    bool: SmallInteger,
}
_COUNTS: Final = "counts"


def make_table(columns: TableColumns, metadata: MetaData, counts: Sequence[str] = ()) -> Table:
    """The table of ``columns``, and of ``counts``: integers that the database derives itself."""
    return Table(
        columns.name,
        metadata,
        *(
            Column(
                column.name,
                _TYPES[column.type],
                primary_key=column.name in columns.key,
                nullable=not column.required and column.default is None,
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

    Each row has every column but the counts.
    """
    if not rows:
        return
    insert = sqlite.insert(table)
    updated = [c.name for c in table.columns if not c.primary_key and not c.info.get(_COUNTS)]
    statement = insert.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: insert.excluded[name] for name in updated},
        where=tuple_(*(insert.excluded[name] for name in order))
        >= tuple_(*(table.c[name] for name in order)),
    )
    connection.execute(statement, [dict(row) for row in rows])
