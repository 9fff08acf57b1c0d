"""Storage records: where each object lies, and skeleton rows that make its study findable."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from dicom_pipeline.catalog import Catalog, IndexedObject
from dicom_pipeline.messages import Event
from dicom_pipeline.ranges import Received, StageResult
from dicom_pipeline.stages.files import find_files
from dicom_pipeline.stages.skeletons import skeleton
from dicom_pipeline.table_columns import Row

_NOT_STORED = frozenset(
    {
        "attempt",
        "character_set",
        "duplicate_of",
        "phase",
        "schema",
        "series_uid_hash",
        "study_uid_hash",
        "target_ts",
        "transfer_status",
    }
)


def record_storage(
    received: Sequence[Received], *, catalog: Catalog, storage_root: Path
) -> StageResult:
    """Write a row of ``storage_record`` per event whose file is there."""
    files = find_files(storage_root, received)
    events = [one.event for one in files.present]
    catalog.record_storage([storage_row(event) for event in events], skeletons(events))
    return StageResult(
        counts={"stored": len(events)},
        dead=files.dead,
    )


def storage_row(event: Event) -> Row:
    """The row of ``storage_record`` for one receipt."""
    row = {k: v for k, v in msgspec.structs.asdict(event).items() if k not in _NOT_STORED}
    return {**row, "row_version": event.row_version, "findings": "\n".join(event.findings)}


def skeletons(events: Sequence[Event]) -> list[IndexedObject]:
    """Keys and parents of each study concerned, once per series: as its newest receipt has them."""
    series: dict[tuple[str, ...], Event] = {}
    for event in sorted(events, key=lambda event: event.trace_id):
        series[event.tenant_id, event.study_uid, event.series_uid] = event
    return [skeleton(event) for event in series.values()]
