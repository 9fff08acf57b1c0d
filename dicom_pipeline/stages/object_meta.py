"""``dicom_object_meta``: one row per receipt, as the log queue tells it."""

from collections.abc import Sequence

import msgspec

from dicom_pipeline.messages import Event
from dicom_pipeline.ranges import Received, StageResult
from dicom_pipeline.table_columns import Row
from dicom_pipeline.warehouse import OBJECT_META, Warehouse

_NOT_LOADED = ("character_set", "schema")


def load_object_meta(
    received: Sequence[Received], *, warehouse: Warehouse, label: str
) -> StageResult:
    """Write a row of ``dicom_object_meta`` per event."""
    warehouse.load(OBJECT_META, [object_meta_row(one.event) for one in received], label)
    return StageResult(counts={"receipts": len(received)}, dead=[])


def object_meta_row(event: Event) -> Row:
    """The row for one word about one receipt; a later word has a greater ``row_version``."""
    row = msgspec.structs.asdict(event)
    for name in _NOT_LOADED:
        del row[name]
    return {**row, "row_version": event.row_version, "findings": "\n".join(event.findings)}
