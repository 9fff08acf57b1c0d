"""The catalog's tables, derived from the tag columns and a few lists.

The DDL is in ``sql/*/catalog``; a test compares both.
"""

from typing import Final

from sqlalchemy import BigInteger, Column, MetaData, Table, Text

from dicom_pipeline import table_columns
from dicom_pipeline.imaging import tag_columns
from dicom_pipeline.sql_tables import make_table
from dicom_pipeline.table_columns import FINDINGS, ORDER, TENANT, TableColumns, tag_table

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

METADATA: Final = MetaData()
STORAGE_RECORD: Final = make_table(STORAGE_RECORD_COLUMNS, METADATA)
PATIENT: Final = make_table(
    PATIENT_COLUMNS,
    METADATA,
    ("number_of_studies", "number_of_series", "number_of_instances", "total_size"),
)
STUDY: Final = make_table(
    STUDY_COLUMNS, METADATA, ("number_of_series", "number_of_instances", "total_size")
)
SERIES: Final = make_table(SERIES_COLUMNS, METADATA, ("number_of_instances", "total_size"))
INSTANCE: Final = make_table(INSTANCE_COLUMNS, METADATA)
RENDITION: Final = make_table(RENDITION_COLUMNS, METADATA)
ABANDONED_RANGE: Final = Table(
    "abandoned_range",
    METADATA,
    Column("topic_id", Text, primary_key=True),
    Column("partition_id", BigInteger, primary_key=True),
    Column("start_offset", BigInteger, primary_key=True),
    Column("end_offset", BigInteger, primary_key=True),
    Column("topic", Text, nullable=False),
    Column("attempts", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
)
