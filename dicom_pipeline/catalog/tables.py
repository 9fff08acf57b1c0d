"""The catalog's tables, derived from the tag columns and a few lists.

The DDL is in ``sql/*/catalog``; a test compares both.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from sqlalchemy import BigInteger, Column, Index, MetaData, Table

from dicom_pipeline import table_columns
from dicom_pipeline.catalog.lengths import check, lengths
from dicom_pipeline.imaging import tag_columns
from dicom_pipeline.sql_tables import make_table, text_type
from dicom_pipeline.table_columns import FINDINGS, ORDER, TENANT, Row, TableColumns, tag_table

_FILE: Final = (
    table_columns.Column("file_path", required=True),
    table_columns.Column("file_size", int, required=True),
)


def _required(*names: str) -> tuple[table_columns.Column, ...]:
    return tuple(table_columns.Column(name, required=True) for name in names)


STORAGE_RECORD_COLUMNS: Final = TableColumns(
    "storage_record",
    ("tenant_id", "file_path"),
    (
        TENANT,
        *_FILE,
        *ORDER,
        table_columns.Column("version", int, required=True),
        *_required("worker_node_id"),
        table_columns.Column("patient_id", default=""),
        *_required("study_uid", "series_uid", "sop_uid", "sop_class_uid", "transfer_syntax_uid"),
        *_required("file_name", "digest", "created_time", "source_ip", "source_ae"),
        table_columns.Column("accession_number"),
        table_columns.Column("study_date"),
        table_columns.Column("number_of_frames", int),
        FINDINGS,
    ),
)
PATIENT_COLUMNS: Final = tag_table("patient", ("patient_id",), tag_columns.PATIENT)
STUDY_COLUMNS: Final = tag_table("study", ("study_uid",), tag_columns.STUDY)
SERIES_COLUMNS: Final = tag_table("series", ("study_uid", "series_uid"), tag_columns.SERIES)
INSTANCE_COLUMNS: Final = tag_table("instance", ("sop_uid",), tag_columns.IMAGE, _FILE)
RENDITION_COLUMNS: Final = TableColumns(
    "rendition",
    ("tenant_id", "sop_uid"),
    (
        TENANT,
        *_required("sop_uid"),
        *ORDER,
        *_required("study_uid", "series_uid", "sop_class_uid", "action"),
        table_columns.Column("rule"),
        table_columns.Column("reason"),
        *_required("source_path"),
        table_columns.Column("file_path"),
        table_columns.Column("transfer_syntax_uid"),
        table_columns.Column("file_size", int),
        table_columns.Column("number_of_frames", int),
        table_columns.Column("error_code"),
    ),
)

LENGTHS: Final = {
    columns.name: lengths(columns, tags)
    for columns, tags in (
        (STORAGE_RECORD_COLUMNS, ()),
        (PATIENT_COLUMNS, tag_columns.PATIENT),
        (STUDY_COLUMNS, tag_columns.STUDY),
        (SERIES_COLUMNS, tag_columns.SERIES),
        (INSTANCE_COLUMNS, tag_columns.IMAGE),
        (RENDITION_COLUMNS, ()),
    )
}
"""The longest text of each table's columns."""

METADATA: Final = MetaData()


def _table(columns: TableColumns, counts: tuple[str, ...] = ()) -> Table:
    return make_table(
        columns,
        METADATA,
        counts,
        lengths=LENGTHS[columns.name],
        spaces_count=("patient_id",),  # the one key that people write
    )


STORAGE_RECORD: Final = _table(STORAGE_RECORD_COLUMNS)
PATIENT: Final = _table(
    PATIENT_COLUMNS,
    ("number_of_studies", "number_of_series", "number_of_instances", "total_size"),
)
STUDY: Final = _table(STUDY_COLUMNS, ("number_of_series", "number_of_instances", "total_size"))
SERIES: Final = _table(SERIES_COLUMNS, ("number_of_instances", "total_size"))
INSTANCE: Final = _table(INSTANCE_COLUMNS)
RENDITION: Final = _table(RENDITION_COLUMNS)
ABANDONED_RANGE: Final = Table(
    "abandoned_range",
    METADATA,
    Column("topic_id", text_type(255), primary_key=True),
    Column("partition_id", BigInteger, primary_key=True, autoincrement=False),
    Column("start_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("end_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("topic", text_type(255), nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("reason", text_type(), nullable=False),
)
STUDY_MANIFEST: Final = Table(
    "study_manifest",
    METADATA,
    Column("tenant_id", text_type(64), primary_key=True),
    Column("study_uid", text_type(64), primary_key=True),
    Column("due", text_type(64), nullable=False),
    Column("modalities", text_type(255), nullable=False),
    Column("shown", BigInteger, nullable=False),
    Column("not_shown", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
)

INDEXES: Final[Mapping[Table, Mapping[str, tuple[str, ...]]]] = {
    STORAGE_RECORD: {"by_object": ("sop_uid", "tenant_id", "row_version", "trace_id")},
    STUDY: {
        "by_uid": ("study_uid",),
        "by_patient": ("tenant_id", "patient_id"),
        "by_date": ("tenant_id", "study_date"),
        "by_accession_number": ("tenant_id", "accession_number"),
    },
    SERIES: {"by_study": ("study_uid",), "by_uid": ("series_uid",)},
    INSTANCE: {
        "by_uid": ("sop_uid",),
        "by_series_uid": ("series_uid",),
        "by_series": ("study_uid", "tenant_id", "series_uid", "file_size"),
        "by_patient": ("tenant_id", "patient_id", "study_uid", "series_uid", "file_size"),
    },
    RENDITION: {
        "by_series": ("study_uid", "tenant_id", "series_uid"),
        "by_series_uid": ("series_uid",),
        "by_uid": ("sop_uid",),
        "by_action": ("action", "error_code"),
    },
    STUDY_MANIFEST: {"by_due": ("due",)},
}
"""The columns of each index, by its name behind the table's."""
for _indexed, _named in INDEXES.items():
    for _name, _columns in _named.items():
        Index(f"{_indexed.name}_{_name}", *(_indexed.c[column] for column in _columns))

VIEWS: Final = ("current_storage_record",)


def complete(columns: TableColumns, rows: Iterable[Row]) -> list[Row]:
    """Rows with every column of the table, of each key the newest, sorted by key.

    Raises:
        PermanentError: a row does not fit the table. The message never holds a value.
    """
    completed = columns.complete(rows)
    check(columns.name, completed, LENGTHS[columns.name])
    return columns.newest(completed)
