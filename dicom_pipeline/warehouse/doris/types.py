"""The Doris type of every column, derived from the one list of columns; a test compares the DDL."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from dicom_pipeline import warehouse
from dicom_pipeline.imaging import tag_columns
from dicom_pipeline.imaging.tag_columns import Kind, TagColumn
from dicom_pipeline.table_columns import Column, ColumnType, TableColumns
from dicom_pipeline.warehouse.columns import TABLES

UTF8_BYTES: Final = 4
"""Most bytes of a character: Doris counts the bytes of a VARCHAR, DICOM counts characters."""
_UID_BYTES: Final = 64
_LONG_TEXT: Final = 65533
"""The longest VARCHAR."""


class DorisType(NamedTuple):
    """A type as DDL writes it."""

    name: str
    size: int | None = None
    """Bytes of a VARCHAR, digits behind the seconds of a DATETIME."""

    def __str__(self) -> str:
        return self.name if self.size is None else f"{self.name}({self.size})"


BIGINT: Final = DorisType("BIGINT")
DATE: Final = DorisType("DATE")
DATETIME: Final = DorisType("DATETIME", 6)
JSON: Final = DorisType("JSON")
_NUMBERS: Final[Mapping[ColumnType, DorisType]] = {
    int: BIGINT,
    float: DorisType("DOUBLE"),
    bool: DorisType("TINYINT"),
}
_TEXTS: Final[Mapping[str, DorisType]] = {
    "created_time": DATETIME,
    "study_date": DATE,
    "tags": JSON,
    "findings": DorisType("VARCHAR", _LONG_TEXT),
    "reason": DorisType("VARCHAR", _LONG_TEXT),
    "trace_id": DorisType("VARCHAR", 36),
    "duplicate_of": DorisType("VARCHAR", 36),
    "file_path": DorisType("VARCHAR", 1024),
    "file_name": DorisType("VARCHAR", 256),
    "patient_id": DorisType("VARCHAR", 64 * UTF8_BYTES),
    "accession_number": DorisType("VARCHAR", 64 * UTF8_BYTES),
}
"""Text that is no tag, or has its type wherever it stands; all else has 64 bytes."""


def _tag_type(tag: TagColumn) -> DorisType:
    if tag.kind is Kind.DATE:
        return DATE
    if tag.kind is Kind.TIME:
        return DorisType("VARCHAR", len("00:00:00.000000"))
    if tag.kind is Kind.CODES:
        return JSON
    if tag.name.endswith("_uid"):
        return DorisType("VARCHAR", _UID_BYTES)
    return DorisType("VARCHAR", (tag.length or _UID_BYTES) * UTF8_BYTES)


_TAGS: Final[Mapping[str, Mapping[str, TagColumn]]] = {
    table: {tag.name: tag for tag in tags}
    for table, tags in (
        (warehouse.PATIENT, tag_columns.PATIENT),
        (warehouse.STUDY, tag_columns.STUDY),
        (warehouse.SERIES, tag_columns.SERIES),
        (warehouse.IMAGE, tag_columns.IMAGE),
    )
}


def _type(table: TableColumns, column: Column) -> DorisType:
    if column.type is not str:
        return _NUMBERS[column.type]
    if tag := _TAGS.get(table.name, {}).get(column.name):
        return _tag_type(tag)
    return _TEXTS.get(column.name, DorisType("VARCHAR", _UID_BYTES))


TYPES: Final[Mapping[str, Mapping[str, DorisType]]] = {
    table.name: {column.name: _type(table, column) for column in table.columns}
    for table in TABLES.values()
}
"""The type of each column of each table."""

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    **{name: table.key for name, table in TABLES.items()},
    # Partitions need their column in the key (sql/doris/0001).
    warehouse.OBJECT_META: ("trace_id", "created_time"),
}
"""The UNIQUE KEY of each table."""

ROW_ORDER: Final = "row_order"
"""Field of a loaded row that no table shows: ``(row_version, trace_id)`` as one number."""

SEQUENCES: Final[Mapping[str, str]] = {
    name: "row_version" if "trace_id" in key else ROW_ORDER for name, key in KEYS.items()
}
"""What decides between two rows of one key. Only rows of different receipts can tie in their
``row_version``, and only where the key does not hold the receipt."""


def nullable(column: Column) -> bool:
    """Whether a column may be NULL."""
    return not column.required and column.default is None


def ddl_columns(table: TableColumns) -> tuple[str, ...]:
    """The names in the order of the DDL: a UNIQUE KEY is a prefix of its table's columns."""
    key = KEYS[table.name]
    return (*key, *(name for name in table.names if name not in key))
