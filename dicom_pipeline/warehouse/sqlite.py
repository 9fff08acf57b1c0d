"""The embedded warehouse: one SQLite file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from sqlalchemy import MetaData, Table

from dicom_pipeline.errors import PermanentError
from dicom_pipeline.sql_engine import SqlDatabase, SqlStore
from dicom_pipeline.sql_tables import make_table, upsert
from dicom_pipeline.table_columns import Row
from dicom_pipeline.warehouse.columns import TABLES

_metadata = MetaData()
_TABLES: Final[Mapping[str, Table]] = {
    name: make_table(columns, _metadata) for name, columns in TABLES.items()
}


class SqliteWarehouse(SqlStore):
    """See `warehouse.Warehouse`. A load needs no label here: to load again changes nothing."""

    def __init__(self, path: Path) -> None:
        super().__init__(SqlDatabase(f"sqlite:///{path}", "warehouse"))

    def load(self, table: str, rows: Sequence[Row], label: str) -> int:
        if table not in TABLES:
            raise PermanentError(f"load {label}: the warehouse has no table {table}")
        columns = TABLES[table]
        completed = columns.complete(rows)
        with self._database.write() as connection:
            upsert(connection, _TABLES[table], columns.newest(completed))
        return len(completed)
