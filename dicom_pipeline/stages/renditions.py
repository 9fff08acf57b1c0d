"""Renditions: for every object, the file that a viewer should open, or why there is none."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from dicom_pipeline.catalog import Catalog, Row
from dicom_pipeline.event_log import EventLog, Message
from dicom_pipeline.imaging.rendering import Action
from dicom_pipeline.imaging.transcode import Outcome, failed_outcome, render
from dicom_pipeline.messages import LOG_QUEUE, Event, TransferStatus, encode
from dicom_pipeline.ranges import Received, StageResult
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages.files import FILE_MISSING, file_is_missing
from dicom_pipeline.storage import locate
from dicom_pipeline.warehouse import CONVERSION_RECORD, Warehouse
from dicom_pipeline.workers import LimitedPool

RENDITION_STAGE: Final = "rendition"
"""How ``dicom_conversion_record.stage`` names this stage."""


class Conversion(NamedTuple):
    """What a worker process is asked to do."""

    source: Path
    target: Path


def convert(conversion: Conversion) -> Outcome:
    """Decide on, verify and if need be convert one object. Runs in a worker process."""
    return render(conversion.source, conversion.target)


class Renderer:
    """Makes renditions for batches of events with a pool of worker processes."""

    def __init__(
        self,
        settings: Settings,
        log: EventLog,
        catalog: Catalog,
        warehouse: Warehouse,
        pool: LimitedPool[Conversion, Outcome],
    ) -> None:
        self._settings = settings
        self._log = log
        self._catalog = catalog
        self._warehouse = warehouse
        self._pool = pool

    def render(self, received: Sequence[Received], label: str) -> StageResult:
        """Make the renditions, write down what became of each object, and tell the log queue."""
        storage = self._settings.storage
        missing = [one for one in received if file_is_missing(storage, one.event)]
        lost = {one.offset for one in missing}
        events = [one.event for one in received if one.offset not in lost]
        decided = list(zip(events, self._outcomes(events), strict=True))
        self._catalog.record_renditions([rendition_row(*pair) for pair in decided])
        records = [record for pair in decided if (record := conversion_record(*pair))]
        self._warehouse.load(CONVERSION_RECORD, records, f"{CONVERSION_RECORD}:{label}")
        self._log.publish([_log_message(decided_event(*pair)) for pair in decided])
        return StageResult(
            counts=dict(Counter(_counted_as(outcome) for _, outcome in decided)),
            dead=[(one, FILE_MISSING, f"{one.event.file_path} is gone") for one in missing],
        )

    def _outcomes(self, events: Sequence[Event]) -> list[Outcome]:
        conversions = [
            Conversion(
                locate(self._settings.storage, event.file_path),
                locate(self._settings.renditions, event.file_path),
            )
            for event in events
        ]
        return [
            result if isinstance(result, Outcome) else failed_outcome(result)
            for result in self._pool.map(conversions)
        ]


@contextmanager
def open_renderer(
    settings: Settings, log: EventLog, catalog: Catalog, warehouse: Warehouse
) -> Iterator[Renderer]:
    """A renderer whose worker processes end with the context."""
    with LimitedPool(
        convert,
        processes=settings.worker_processes,
        memory_bytes=settings.worker_memory_bytes,
        seconds=settings.rendition_seconds_per_object,
    ) as pool:
        yield Renderer(settings, log, catalog, warehouse, pool)


def phase_of(event: Event) -> int:
    """This stage's word on a receipt comes after the receipt itself; each backfill's later."""
    return event.attempt + 1


def decided_event(event: Event, outcome: Outcome) -> Event:
    """The event once more, with what became of the object."""
    if outcome.error:
        status, target = TransferStatus.FAILED, None
    elif outcome.target_ts:
        status, target = TransferStatus.SUCCESS, outcome.target_ts
    else:
        status, target = TransferStatus.NO_NEED, None
    return msgspec.structs.replace(
        event, phase=phase_of(event), transfer_status=status, target_ts=target
    )


def _log_message(event: Event) -> Message:
    return Message(LOG_QUEUE, event.key, encode(event))


def _counted_as(outcome: Outcome) -> str:
    return f"failed_{outcome.error.code}" if outcome.error else str(outcome.action)


def rendition_row(event: Event, outcome: Outcome) -> Row:
    """The row of ``rendition``: what a viewer should open for the object."""
    converted = outcome.error is None and outcome.target_ts is not None
    showable = outcome.error is None and outcome.action in {Action.KEEP, Action.TRANSCODE}
    return {
        "tenant_id": event.tenant_id,
        "sop_uid": event.sop_uid,
        "trace_id": event.trace_id,
        "row_version": decided_event(event, outcome).row_version,
        "study_uid": event.study_uid,
        "series_uid": event.series_uid,
        "sop_class_uid": event.sop_class_uid,
        "action": str(outcome.action),
        "rule": outcome.rule,
        "reason": outcome.reason,
        "source_path": event.file_path,
        "file_path": event.file_path if converted else None,
        "transfer_syntax_uid": (outcome.target_ts or event.transfer_syntax_uid)
        if showable
        else None,
        "file_size": outcome.file_size if converted else None,
        "number_of_frames": outcome.frames,
        "error_code": outcome.error.code if outcome.error else None,
    }


def conversion_record(event: Event, outcome: Outcome) -> Row | None:
    """The row of ``dicom_conversion_record`` of an object that failed, or had failed before."""
    error = outcome.error
    if error is None and event.attempt == 0:
        return None
    return {
        "tenant_id": event.tenant_id,
        "trace_id": event.trace_id,
        "stage": RENDITION_STAGE,
        "row_version": decided_event(event, outcome).row_version,
        "sop_uid": event.sop_uid,
        "study_uid": event.study_uid,
        "series_uid": event.series_uid,
        "sop_class_uid": event.sop_class_uid,
        "transfer_syntax_uid": event.transfer_syntax_uid,
        "error_code": error.code if error else None,
        "reason": error.reason if error else None,
        "library": error.library if error else None,
        "library_version": error.library_version if error else None,
        "retryable": int(error.retryable) if error else None,
        "attempt": event.attempt,
        "state": "failed" if error else "recovered",
        "created_time": event.created_time,
    }
