"""The tables that are copied, and how the ports take their rows."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from dicom_pipeline.catalog import Catalog, IndexedObject, tables
from dicom_pipeline.errors import PermanentError
from dicom_pipeline.moving.source import Key, Tables
from dicom_pipeline.moving.systems import System
from dicom_pipeline.table_columns import Row, TableColumns
from dicom_pipeline.warehouse import Warehouse
from dicom_pipeline.warehouse.columns import TABLES as WAREHOUSE_TABLES

Query = Callable[..., list[dict[str, object]]]
Write = Callable[[Sequence[Row]], None]

_PARENTS: Final = (tables.PATIENT_COLUMNS, tables.STUDY_COLUMNS, tables.SERIES_COLUMNS)
_INSTANCE_ORDER: Final = ("tenant_id", "study_uid", "series_uid", "sop_uid")
"""By series, so that a batch concerns few parents, which are recounted with it."""


class TableCopy(NamedTuple):
    """One table on its way."""

    system: System
    columns: TableColumns
    order: tuple[str, ...]
    """The columns that the source is read by: they tell the rows apart."""
    source: Tables
    write: Write
    """Upserts rows into the target, in order of their versions."""
    query: Query
    """Asks the target."""
    exact: bool = True
    """Whether the target keeps every value as it is, so that contents can be compared."""

    @property
    def name(self) -> str:
        """Names the table among those of all systems."""
        return f"{self.system}.{self.columns.name}"

    @property
    def compared(self) -> tuple[str, ...]:
        """The columns in which rows are compared."""
        if self.exact:
            return self.columns.names
        return tuple(dict.fromkeys((*self.columns.key, "row_version", "trace_id")))

    def key(self, row: Row) -> list[Key]:
        """Where the row stands in the order of reading."""
        return [_key(row[name]) for name in self.order]


def _key(value: object) -> Key:
    assert isinstance(value, str | int)
    return value


def catalog_tables(source: Tables, target: Catalog) -> list[TableCopy]:
    """The tables of the catalog, parents before instances."""

    def copy(columns: TableColumns, write: Write, order: tuple[str, ...] = ()) -> TableCopy:
        order = order or columns.key
        return TableCopy(System.CATALOG, columns, order, source, write, target.query)

    fillers = [source.first(columns.name, columns.names) for columns in _PARENTS]

    def filled(level: int, row: Row) -> IndexedObject:
        """The port takes a parent with others: any that are there, as they change nothing."""
        levels: list[Row | None] = [*fillers]
        levels[level] = row
        patient, study, series = levels
        if patient is None or study is None or series is None:
            raise PermanentError(
                "the source catalog has rows in some of patient, study and series, and none in "
                "others: restore the file from a backup"
            )
        return IndexedObject(patient, study, series, instance={})

    def parents(level: int) -> Write:
        return lambda rows: target.record_storage([], [filled(level, row) for row in rows])

    def instances(rows: Sequence[Row]) -> None:
        first = filled(0, fillers[0] or {})
        target.index([first._replace(instance=row) for row in rows])

    return [
        copy(tables.STORAGE_RECORD_COLUMNS, lambda rows: target.record_storage(rows, [])),
        *(copy(columns, parents(level)) for level, columns in enumerate(_PARENTS)),
        copy(tables.INSTANCE_COLUMNS, instances, _INSTANCE_ORDER),
        copy(tables.RENDITION_COLUMNS, target.record_renditions),
    ]


def warehouse_tables(source: Tables, target: Warehouse, *, exact: bool) -> list[TableCopy]:
    """The tables of the warehouse.

    ``exact``: whether the target keeps every value as it is. Doris cuts what is too long for it,
    and writes times and JSON in its own way.
    """

    def write(columns: TableColumns) -> Write:
        return lambda rows: _load(target, columns, rows)

    return [
        TableCopy(
            System.WAREHOUSE, columns, columns.key, source, write(columns), target.query, exact
        )
        for columns in WAREHOUSE_TABLES.values()
    ]


def _load(target: Warehouse, columns: TableColumns, rows: Sequence[Row]) -> None:
    """The label tells the rows: the same batch again is the same load, another one is not."""
    identity = hashlib.sha256()
    for row in rows:
        parts = [row[name] for name in (*columns.key, "row_version", "trace_id")]
        identity.update(repr(parts).encode())
    target.load(columns.name, rows, f"copy-{columns.name}-{identity.hexdigest()[:32]}")
