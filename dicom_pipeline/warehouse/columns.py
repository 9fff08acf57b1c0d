"""The warehouse's columns: the lists from which loaders derive.

The DDL is in ``sql/*/warehouse``; a test compares both.
"""

from collections.abc import Mapping
from typing import Final

from dicom_pipeline import warehouse
from dicom_pipeline.imaging import tag_columns
from dicom_pipeline.table_columns import FINDINGS, TENANT, Column, TableColumns, tag_table

_OBJECT_META: Final = TableColumns(
    warehouse.OBJECT_META,
    ("trace_id",),
    (
        # The first twenty in the order of the original table.
        Column("trace_id", required=True),
        Column("worker_node_id", required=True),
        TENANT,
        Column("patient_id", default=""),
        Column("study_uid", required=True),
        Column("series_uid", required=True),
        Column("sop_uid", required=True),
        Column("file_size", int),
        Column("file_path"),
        Column("transfer_syntax_uid"),
        Column("number_of_frames", int),
        Column("created_time", required=True),
        Column("series_uid_hash", int),
        Column("study_uid_hash", int),
        Column("accession_number"),
        Column("target_ts"),
        Column("study_date"),
        Column("transfer_status"),
        Column("source_ip"),
        Column("source_ae"),
        # What later stages and replays need.
        Column("row_version", int, required=True),
        Column("version", int, required=True),
        Column("phase", int, required=True),
        Column("attempt", int, required=True),
        Column("digest"),
        Column("file_name"),
        Column("sop_class_uid"),
        Column("duplicate_of"),
        FINDINGS,
    ),
)
_CONVERSION_RECORD: Final = TableColumns(
    warehouse.CONVERSION_RECORD,
    ("tenant_id", "trace_id", "stage"),
    (
        TENANT,
        Column("trace_id", required=True),
        Column("stage", required=True),
        Column("row_version", int, required=True),
        Column("sop_uid", required=True),
        Column("study_uid"),
        Column("series_uid"),
        Column("sop_class_uid"),
        Column("transfer_syntax_uid"),
        Column("error_code"),
        Column("reason"),
        Column("library"),
        Column("library_version"),
        Column("retryable", bool),
        Column("attempt", int, required=True),
        Column("state", required=True),
        Column("created_time"),
    ),
)
_CONVERSION_RETRY: Final = TableColumns(
    warehouse.CONVERSION_RETRY,
    ("tenant_id", "trace_id", "stage", "attempt"),
    (
        TENANT,
        Column("trace_id", required=True),
        Column("stage", required=True),
        Column("attempt", int, required=True),
        Column("row_version", int, required=True),
        Column("sop_uid", required=True),
        Column("study_uid"),
        Column("transfer_syntax_uid"),
        Column("error_code"),
        Column("reason"),
        Column("library"),
        Column("library_version"),
        Column("requested", int, required=True),
        Column("backfill_id", required=True),
    ),
)
_IMAGE_FILE: Final = (Column("file_path"), Column("file_size", int), Column("tags"))

TABLES: Final[Mapping[str, TableColumns]] = {
    table.name: table
    for table in (
        _OBJECT_META,
        tag_table(warehouse.PATIENT, ("patient_id",), tag_columns.PATIENT),
        tag_table(warehouse.STUDY, ("study_uid",), tag_columns.STUDY),
        tag_table(warehouse.SERIES, ("study_uid", "series_uid"), tag_columns.SERIES),
        tag_table(warehouse.IMAGE, ("sop_uid",), tag_columns.IMAGE, _IMAGE_FILE),
        _CONVERSION_RECORD,
        _CONVERSION_RETRY,
    )
}
"""The columns of each table by the table's name."""
