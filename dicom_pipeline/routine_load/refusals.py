"""Which messages Doris refuses: it says how many rows, and their columns, but not their offsets."""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from dicom_pipeline.errors import PermanentError
from dicom_pipeline.messages import UnreadableEventError, decode_event
from dicom_pipeline.ranges import UNREADABLE_EVENT
from dicom_pipeline.stages.object_meta import object_meta_row
from dicom_pipeline.table_columns import Row
from dicom_pipeline.warehouse import OBJECT_META
from dicom_pipeline.warehouse.columns import TABLES
from dicom_pipeline.warehouse.doris.fitting import Fitting
from dicom_pipeline.warehouse.doris.options import DorisOptions
from dicom_pipeline.warehouse.doris.types import TYPES, nullable

REFUSED_ROW: Final = "refused_row"
"""Dead-letter code: an event that a column of ``dicom_object_meta`` cannot hold."""

_DAYS_AHEAD: Final = 3
"""``dynamic_partition.end`` of the table, when it has a retention."""


class Refusal(NamedTuple):
    """Why a message makes no row. No value is in it."""

    code: str
    reason: str


class Rules:
    """The rules of the table's columns: types, lengths in bytes, NOT NULL, partitions."""

    def __init__(self, options: DorisOptions) -> None:
        columns = TABLES[OBJECT_META].columns
        self._types = TYPES[OBJECT_META]
        self._required = [column.name for column in columns if not nullable(column)]
        self._fitting = Fitting(OBJECT_META, options.json_bytes)
        self._retention_days = options.retention_days

    def judge(self, value: bytes) -> Row | Refusal:
        """The row that a message makes, or why it makes none."""
        try:
            row = object_meta_row(decode_event(value))
        except UnreadableEventError as error:
            return Refusal(UNREADABLE_EVENT, str(error))
        reason = self._reason(row)
        return Refusal(REFUSED_ROW, reason) if reason else row

    def _reason(self, row: Row) -> str:
        for name in self._required:
            if row[name] is None:
                return f"column {name}: NULL in a NOT NULL column"
        try:
            self._fitting.fit(row)
        except PermanentError as error:
            return str(error)
        for name, value in row.items():
            size = self._types[name].size
            if isinstance(value, str) and self._types[name].name == "VARCHAR" and size:
                length = len(value.encode())
                if length > size:
                    return f"column {name}: too long: {length} bytes, the column holds {size}"
        return self._partition(str(row["created_time"]))

    def _partition(self, created: str) -> str:
        if self._retention_days is None:
            return ""
        today = datetime.now(UTC).date()
        first = today - timedelta(days=self._retention_days)
        last = today + timedelta(days=_DAYS_AHEAD)
        if f"{first}" <= created[:10] <= f"{last}":
            return ""
        return f"column created_time: no partition for its time: the table holds {first} to {last}"
