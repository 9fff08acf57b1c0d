"""A warehouse that is spared the rows of patients, studies and series that it is known to have."""

from collections.abc import Mapping, Sequence
from typing import Final, Self

from dicom_pipeline import warehouse as tables
from dicom_pipeline.cache import Cache
from dicom_pipeline.cache.databases import Database
from dicom_pipeline.cache.written import WrittenRows
from dicom_pipeline.settings import Settings
from dicom_pipeline.table_columns import Row, TableColumns
from dicom_pipeline.warehouse import Warehouse
from dicom_pipeline.warehouse.columns import TABLES

_PARENTS: Final[Mapping[str, TableColumns]] = {
    name: TABLES[name] for name in (tables.PATIENT, tables.STUDY, tables.SERIES)
}


class CachedWarehouse:
    """See `warehouse.Warehouse`: the tables end as they would without the cache."""

    def __init__(self, warehouse: Warehouse, cache: Cache, settings: Settings) -> None:
        url = settings.warehouse_url or f"sqlite:///{settings.home / 'warehouse.db'}"
        self._warehouse = warehouse
        self._written = WrittenRows(cache, Database(cache, url, warehouse.query))

    def load(self, table: str, rows: Sequence[Row], label: str) -> int:
        """See `warehouse.Warehouse.load`; a load of nothing is left out."""
        if table not in _PARENTS:
            return self._warehouse.load(table, rows, label)
        written = self._written.worth_writing((_PARENTS[table], rows))
        (worth,) = written.rows
        if not worth:
            return 0
        sent = self._warehouse.load(table, worth, label)
        self._written.note(written)
        return sent

    def query(self, sql: str, **parameters: object) -> list[dict[str, object]]:
        return self._warehouse.query(sql, **parameters)

    def migrate(self) -> list[str]:
        return self._warehouse.migrate()

    def close(self) -> None:
        self._warehouse.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
