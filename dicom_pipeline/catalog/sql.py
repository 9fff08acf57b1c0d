"""The catalog in a SQL database, through SQLAlchemy Core."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Table, delete, select

from dicom_pipeline.catalog import AbandonedRange, IndexedObject, Study, tables
from dicom_pipeline.catalog.counts import parents_of, present_parents, recount
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.sql_engine import SqlDatabase, SqlStore
from dicom_pipeline.sql_tables import upsert
from dicom_pipeline.table_columns import Row

_PARENT_LEVELS = (
    ("patient", tables.PATIENT, tables.PATIENT_COLUMNS),
    ("study", tables.STUDY, tables.STUDY_COLUMNS),
    ("series", tables.SERIES, tables.SERIES_COLUMNS),
)


class SqlCatalog(SqlStore):
    """See `catalog.Catalog`. ``url`` is SQLAlchemy's, e.g. ``sqlite:////var/lib/catalog.db``."""

    def __init__(self, url: str) -> None:
        super().__init__(SqlDatabase(url, "catalog"))

    def record_storage(self, records: Sequence[Row], skeletons: Sequence[IndexedObject]) -> None:
        columns = tables.STORAGE_RECORD_COLUMNS
        rows = columns.newest(columns.complete(records))
        parents = _parents(skeletons)
        with self._database.write() as connection:
            upsert(connection, tables.STORAGE_RECORD, rows)
            for table, missing in parents:
                upsert(connection, table, missing)

    def index(self, objects: Sequence[IndexedObject]) -> set[Study]:
        # An object that is too old to be stored has its parents written all the same, so that
        # the order in which the versions of an object come makes no difference.
        columns = tables.INSTANCE_COLUMNS
        instances = columns.newest(columns.complete(item.instance for item in objects))
        parents = _parents(objects)
        with self._database.write() as connection:
            concerned = present_parents(connection, instances)
            concerned.update(parents_of(row) for row in instances)
            for table, rows in parents:
                upsert(connection, table, rows)
            upsert(connection, tables.INSTANCE, instances)
            recount(connection, concerned)
        return {Study(one.tenant_id, one.study_uid) for one in concerned}

    def record_renditions(self, renditions: Sequence[Row]) -> None:
        columns = tables.RENDITION_COLUMNS
        rows = columns.newest(columns.complete(renditions))
        with self._database.write() as connection:
            upsert(connection, tables.RENDITION, rows)

    def abandon(self, abandoned: AbandonedRange) -> None:
        offsets = abandoned.offsets
        row = {
            "topic_id": offsets.topic_id,
            "partition_id": offsets.partition,
            "start_offset": offsets.start,
            "end_offset": offsets.end,
            "topic": offsets.topic,
            "attempts": abandoned.attempts,
            "reason": abandoned.reason,
        }
        with self._database.write() as connection:
            upsert(connection, tables.ABANDONED_RANGE, [row], order=("attempts",))

    def recovered(self, offsets: OffsetRange) -> None:
        with self._database.write() as connection:
            connection.execute(delete(tables.ABANDONED_RANGE).where(*_within(offsets)))

    def abandoned(self, topic: str | None = None) -> list[AbandonedRange]:
        table = tables.ABANDONED_RANGE
        statement = select(table).order_by(*table.primary_key.columns)
        if topic is not None:
            statement = statement.where(table.c.topic == topic)
        with self._database.read() as connection:
            return [
                AbandonedRange(
                    OffsetRange(
                        row.topic, row.topic_id, row.partition_id, row.start_offset, row.end_offset
                    ),
                    row.attempts,
                    row.reason,
                )
                for row in connection.execute(statement)
            ]


def _parents(objects: Sequence[IndexedObject]) -> list[tuple[Table, list[Row]]]:
    return [
        (
            table,
            spec.newest(spec.complete(row for item in objects if (row := getattr(item, level)))),
        )
        for level, table, spec in _PARENT_LEVELS
    ]


def _within(offsets: OffsetRange) -> tuple[ColumnElement[bool], ...]:
    """The ranges that ``offsets`` contains, itself among them."""
    columns = tables.ABANDONED_RANGE.c
    return (
        columns.topic_id == offsets.topic_id,
        columns.partition_id == offsets.partition,
        columns.start_offset >= offsets.start,
        columns.end_offset <= offsets.end,
    )
