"""The longest text of each column, the same for every database.

SQLite would take longer text, MySQL would not. So that one adapter never refuses what another has
taken, the catalog looks itself. What the product writes always fits: the tag reader cuts tags, and
the receiver takes no longer UIDs, ids and titles.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from dicom_pipeline.errors import PermanentError
from dicom_pipeline.imaging.tag_columns import Kind, TagColumn
from dicom_pipeline.table_columns import Row, TableColumns

Lengths = Mapping[str, int | None]
"""Characters that each text column holds; None: any text."""

_NAMES: Final[Lengths] = {
    "action": 64,
    "accession_number": 64,
    "created_time": 32,
    "digest": 64,
    "error_code": 64,
    "file_name": 255,
    "file_path": 512,
    "findings": None,
    "patient_id": 64,
    "reason": None,
    "rule": 255,
    "source_ae": 64,
    "source_ip": 64,
    "source_path": 512,
    "study_date": 10,
    "tenant_id": 64,
    "trace_id": 64,
    "worker_node_id": 64,
}
_UID: Final = 64
_KINDS: Final[Mapping[Kind, int | None]] = {
    Kind.DATE: len("YYYY-MM-DD"),
    Kind.TIME: len("HH:MM:SS.ffffff"),
    Kind.CODES: None,
}


def _length(name: str, tag: TagColumn | None) -> int | None:
    if tag is not None:
        return _KINDS[tag.kind] if tag.length is None else tag.length
    return _UID if name.endswith("_uid") else _NAMES[name]


def lengths(columns: TableColumns, tags: Sequence[TagColumn] = ()) -> Lengths:
    """The longest text of every text column of a table, of which ``tags`` hold attributes."""
    by_name = {tag.name: tag for tag in tags}
    return {
        column.name: _length(column.name, by_name.get(column.name))
        for column in columns.columns
        if column.type is str
    }


def check(table: str, rows: Sequence[Row], longest: Lengths) -> None:
    """Refuse rows with text that is too long.

    Raises:
        PermanentError: the message names the table and the column, never the value.
    """
    bounded = [(name, length) for name, length in longest.items() if length is not None]
    for row in rows:
        for name, length in bounded:
            value = row[name]
            if isinstance(value, str) and len(value) > length:
                raise PermanentError(
                    f"table {table}: a value does not fit its column: {name} holds at most "
                    f"{length} characters"
                )
