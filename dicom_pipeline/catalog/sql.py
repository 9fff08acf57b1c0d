"""The catalog in a SQL database, through SQLAlchemy Core."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Table, delete, select

from dicom_pipeline.catalog import (
    AbandonedRange,
    DueManifest,
    IndexedObject,
    Study,
    WrittenManifest,
    manifests,
    tables,
)
from dicom_pipeline.catalog.counts import recount
from dicom_pipeline.catalog.instances import store_instances
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.schema_drift import drift
from dicom_pipeline.sql_engine import SqlDatabase, SqlStore
from dicom_pipeline.sql_tables import upsert
from dicom_pipeline.table_columns import Row

_PARENT_LEVELS = (
    ("patient", tables.PATIENT, tables.PATIENT_COLUMNS),
    ("study", tables.STUDY, tables.STUDY_COLUMNS),
    ("series", tables.SERIES, tables.SERIES_COLUMNS),
)


class SqlCatalog(SqlStore):
    """See `catalog.Catalog`.

    Args:
        url: SQLAlchemy's, e.g. ``sqlite:////var/lib/catalog.db`` or
            ``mysql+pymysql://user:password@host:3306/database?ssl_ca=/etc/ssl/ca.pem``.
    """

    def __init__(self, url: str) -> None:
        super().__init__(SqlDatabase(url, "catalog"))

    def record_storage(self, records: Sequence[Row], skeletons: Sequence[IndexedObject]) -> None:
        rows = tables.complete(tables.STORAGE_RECORD_COLUMNS, records)
        parents = _parents(skeletons)

        def work(connection: Connection) -> None:
            upsert(connection, tables.STORAGE_RECORD, rows)
            manifests.mark(connection, _write_parents(connection, parents))

        self._database.transact(work)

    def index(self, objects: Sequence[IndexedObject]) -> set[Study]:
        # An object that is too old to be stored has its parents written all the same, so that
        # the order in which the versions of an object come makes no difference.
        instances = tables.complete(tables.INSTANCE_COLUMNS, (item.instance for item in objects))
        parents = _parents(objects)
        held = {table.name: _keys(table, rows) for table, rows in parents}

        def work(connection: Connection) -> set[Study]:
            concerned = store_instances(connection, instances)
            told_anew = _write_parents(connection, parents)
            recount(connection, concerned, held)
            studies = {Study(one.tenant_id, one.study_uid) for one in concerned}
            manifests.mark(connection, studies | told_anew)
            return studies

        return self._database.transact(work)

    def record_renditions(self, renditions: Sequence[Row]) -> None:
        rows = tables.complete(tables.RENDITION_COLUMNS, renditions)
        studies = {Study(str(row["tenant_id"]), str(row["study_uid"])) for row in rows}

        def work(connection: Connection) -> None:
            upsert(connection, tables.RENDITION, rows)
            manifests.mark(connection, studies | manifests.holders(connection, rows))

        self._database.transact(work)

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
        self._database.transact(
            lambda connection: upsert(
                connection, tables.ABANDONED_RANGE, [row], order=("attempts",)
            )
        )

    def recovered(self, offsets: OffsetRange) -> None:
        statement = delete(tables.ABANDONED_RANGE).where(*_within(offsets))
        self._database.transact(lambda connection: connection.execute(statement))

    def abandoned(self, topic: str | None = None) -> list[AbandonedRange]:
        table = tables.ABANDONED_RANGE
        statement = select(table).order_by(*table.primary_key.columns)
        if topic is not None:
            statement = statement.where(table.c.topic == topic)
        rows = self._database.inspect(lambda connection: connection.execute(statement).all())
        return [
            AbandonedRange(
                OffsetRange(
                    row.topic, row.topic_id, row.partition_id, row.start_offset, row.end_offset
                ),
                row.attempts,
                row.reason,
            )
            for row in rows
        ]

    def manifests_due(self, limit: int) -> list[DueManifest]:
        return self._database.inspect(lambda connection: manifests.due(connection, limit))

    def mark_all_manifests(self) -> None:
        self._database.transact(manifests.mark_all)

    def note_manifests(self, written: Sequence[WrittenManifest]) -> None:
        self._database.transact(lambda connection: manifests.note(connection, written))

    def take_back(self, marks: Sequence[DueManifest]) -> None:
        self._database.transact(lambda connection: manifests.take_back(connection, marks))

    def drift(self) -> list[str]:
        """Where the live schema deviates from what the migrations have made: see `schema_drift`."""
        return self._database.inspect(
            lambda connection: drift(connection, tables.METADATA, tables.VIEWS)
        )


def _parents(objects: Sequence[IndexedObject]) -> list[tuple[Table, list[Row]]]:
    return [
        (
            table,
            tables.complete(columns, (row for item in objects if (row := getattr(item, level)))),
        )
        for level, table, columns in _PARENT_LEVELS
    ]


def _write_parents(
    connection: Connection, parents: Sequence[tuple[Table, list[Row]]]
) -> set[Study]:
    """Upsert parents; returns the studies of which anything else is told now.

    Skeleton rows tell nothing. Patients are compared, as each object speaks of its patient, who may
    have many studies.
    """
    told = {table.name: [row for row in rows if row["row_version"]] for table, rows in parents}
    before = manifests.patients(connection, told[tables.PATIENT.name])
    for table, rows in parents:
        upsert(connection, table, rows)
    after = manifests.patients(connection, told[tables.PATIENT.name])
    changed = [patient for patient, now in after.items() if before.get(patient) != now]
    of_studies = (*told[tables.STUDY.name], *told[tables.SERIES.name])
    return manifests.studies_of(connection, changed) | {
        Study(str(row["tenant_id"]), str(row["study_uid"])) for row in of_studies
    }


def _keys(table: Table, rows: Sequence[Row]) -> set[tuple[object, ...]]:
    return {tuple(row[column.name] for column in table.primary_key.columns) for row in rows}


def _within(offsets: OffsetRange) -> tuple[ColumnElement[bool], ...]:
    """The ranges that ``offsets`` contains, itself among them."""
    columns = tables.ABANDONED_RANGE.c
    return (
        columns.topic_id == offsets.topic_id,
        columns.partition_id == offsets.partition,
        columns.start_offset >= offsets.start,
        columns.end_offset <= offsets.end,
    )
