"""A catalog that is spared what it is known to have, and says which studies have changed."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Self

from dicom_pipeline.cache import Cache
from dicom_pipeline.cache.databases import Database
from dicom_pipeline.cache.studies import StudyReads
from dicom_pipeline.cache.written import Written, WrittenRows
from dicom_pipeline.catalog import (
    AbandonedRange,
    Catalog,
    DueManifest,
    IndexedObject,
    Study,
    WrittenManifest,
    tables,
)
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.settings import Settings
from dicom_pipeline.table_columns import Row, TableColumns

_PARENTS: Final[Mapping[str, TableColumns]] = {
    "patient": tables.PATIENT_COLUMNS,
    "study": tables.STUDY_COLUMNS,
    "series": tables.SERIES_COLUMNS,
}


class CachedCatalog:
    """See `catalog.Catalog`: the tables end as they would without the cache."""

    def __init__(self, catalog: Catalog, cache: Cache, settings: Settings) -> None:
        self._catalog = catalog
        self._database = catalog_database(catalog, cache, settings)
        self._written = WrittenRows(cache, self._database)
        self._reads = StudyReads(cache, self._database, catalog.query)

    def record_storage(self, records: Sequence[Row], skeletons: Sequence[IndexedObject]) -> None:
        slim, written = self._slim(skeletons)
        worth = [item for item in slim if item.patient or item.study or item.series]
        self._catalog.record_storage(records, worth)
        self._written.note(written)
        self._reads.changed(_studies(item.study for item in worth))

    def index(self, objects: Sequence[IndexedObject]) -> set[Study]:
        slim, written = self._slim(objects)
        changed = self._catalog.index(slim) | _studies(item.study for item in slim)
        self._written.note(written)
        self._reads.changed(changed)
        return changed

    def record_renditions(self, renditions: Sequence[Row]) -> None:
        self._catalog.record_renditions(renditions)
        self._reads.changed(_studies(renditions))

    def abandon(self, abandoned: AbandonedRange) -> None:
        self._catalog.abandon(abandoned)

    def recovered(self, offsets: OffsetRange) -> None:
        self._catalog.recovered(offsets)

    def abandoned(self, topic: str | None = None) -> list[AbandonedRange]:
        return self._catalog.abandoned(topic)

    def manifests_due(self, limit: int) -> list[DueManifest]:
        return self._catalog.manifests_due(limit)

    def mark_all_manifests(self) -> None:
        self._catalog.mark_all_manifests()

    def note_manifests(self, written: Sequence[WrittenManifest]) -> None:
        self._catalog.note_manifests(written)

    def take_back(self, marks: Sequence[DueManifest]) -> None:
        self._catalog.take_back(marks)

    def query(self, sql: str, **parameters: object) -> list[dict[str, object]]:
        return self._catalog.query(sql, **parameters)

    def migrate(self) -> list[str]:
        return self._catalog.migrate()

    def close(self) -> None:
        self._catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _slim(self, objects: Sequence[IndexedObject]) -> tuple[list[IndexedObject], Written]:
        """The objects without the rows of parents that need not be written."""
        written = self._written.worth_writing(
            *(
                (columns, [row for item in objects if (row := getattr(item, level))])
                for level, columns in _PARENTS.items()
            )
        )
        kept = {id(row) for rows in written.rows for row in rows}
        return [_with_parents(item, kept) for item in objects], written


def catalog_database(catalog: Catalog, cache: Cache, settings: Settings) -> Database:
    """How the cache calls this catalog."""
    url = settings.catalog_url or f"sqlite:///{settings.home / 'catalog.db'}"
    return Database(cache, url, catalog.query)


def _with_parents(item: IndexedObject, kept: set[int]) -> IndexedObject:
    return item._replace(
        patient=item.patient if id(item.patient) in kept else {},
        study=item.study if id(item.study) in kept else {},
        series=item.series if id(item.series) in kept else {},
    )


def _studies(rows: Iterable[Row]) -> set[Study]:
    return {Study(str(row["tenant_id"]), str(row["study_uid"])) for row in rows if row}
