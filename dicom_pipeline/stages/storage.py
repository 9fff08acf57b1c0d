"""Storage records: where each object lies, and skeleton rows that make its study findable."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from dicom_pipeline.catalog import Catalog, IndexedObject, Row
from dicom_pipeline.messages import Event
from dicom_pipeline.ranges import Received, StageResult
from dicom_pipeline.stages.files import FILE_MISSING, file_is_missing

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
    missing = [one for one in received if file_is_missing(storage_root, one.event)]
    lost = {one.offset for one in missing}
    events = [one.event for one in received if one.offset not in lost]
    catalog.record_storage([storage_row(event) for event in events], skeletons(events))
    return StageResult(
        counts={"stored": len(events)},
        dead=[(one, FILE_MISSING, f"{one.event.file_path} is gone") for one in missing],
    )


def storage_row(event: Event) -> Row:
    """The row of ``storage_record`` for one receipt."""
    row = {k: v for k, v in msgspec.structs.asdict(event).items() if k not in _NOT_STORED}
    return {**row, "row_version": event.row_version, "findings": "\n".join(event.findings)}


def skeletons(events: Sequence[Event]) -> list[IndexedObject]:
    """Keys and parents of each study concerned, once per series."""
    series = {(event.tenant_id, event.study_uid, event.series_uid): event for event in events}
    return [_skeleton(event) for event in series.values()]


def _skeleton(event: Event) -> IndexedObject:
    base = {"tenant_id": event.tenant_id, "trace_id": event.trace_id}
    return IndexedObject(
        patient={**base, "patient_id": event.patient_id},
        study={**base, "study_uid": event.study_uid, "patient_id": event.patient_id},
        series={**base, "series_uid": event.series_uid, "study_uid": event.study_uid},
        instance={},
    )
