"""Renditions: for every object, the file that a viewer should open, or why there is none."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from dicom_pipeline.catalog import Catalog
from dicom_pipeline.event_log import EventLog, Message
from dicom_pipeline.imaging.failures import failed_outcome
from dicom_pipeline.imaging.outcomes import ErrorCode, Outcome
from dicom_pipeline.imaging.transcode import LargeObject
from dicom_pipeline.messages import LOG_QUEUE, Event, encode
from dicom_pipeline.ranges import Received, StageResult
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages.attempts import attempt_all
from dicom_pipeline.stages.conversion_records import RECOVERED, conversion_records
from dicom_pipeline.stages.conversions import Conversion, Result, Task, convert
from dicom_pipeline.stages.decided import Decided, rendition_row
from dicom_pipeline.stages.files import Dead, find_files, gone
from dicom_pipeline.stages.large_objects import convert_in_parts
from dicom_pipeline.storage import locate
from dicom_pipeline.warehouse import CONVERSION_RECORD, Warehouse
from dicom_pipeline.workers import LimitedPool, TaskFailure

_NO_WORD_ON_THE_OBJECT: Final = frozenset({ErrorCode.FILE_MISSING, ErrorCode.IO_ERROR})


class Renderer:
    """Makes renditions for batches of events with a pool of worker processes."""

    def __init__(
        self,
        settings: Settings,
        log: EventLog,
        catalog: Catalog,
        warehouse: Warehouse,
        pool: LimitedPool[Task, Result],
    ) -> None:
        self._settings = settings
        self._log = log
        self._catalog = catalog
        self._warehouse = warehouse
        self._pool = pool

    def render(self, received: Sequence[Received], label: str) -> StageResult:
        """Make the renditions, write down what became of each object, and tell the log queue.

        Raises:
            TransientError: the storage root or a file in it cannot be reached, or the rendition
                root cannot be written to.
        """
        files = find_files(self._settings.storage, received)
        dead = list(files.dead)
        decided = list(self._decide(files.present, dead))
        self._catalog.record_renditions([rendition_row(one) for one in decided])
        records = conversion_records(decided, self._catalog, self._warehouse)
        self._warehouse.load(CONVERSION_RECORD, records, f"{CONVERSION_RECORD}:{label}")
        self._log.publish([_log_message(one.told()) for one in decided])
        counts = Counter(one.counted_as() for one in decided)
        if recovered := sum(row["state"] == RECOVERED for row in records):
            counts[RECOVERED] = recovered
        return StageResult(counts, dead)

    def _decide(self, present: Sequence[Received], dead: list[Dead]) -> Iterator[Decided]:
        """What becomes of each object; what turns out to be gone is added to ``dead``."""
        conversions = [self._conversion(one.event) for one in present]
        large = []
        for number, result in attempt_all(self._pool, conversions):
            if isinstance(result, LargeObject):
                large.append((number, result))
            else:
                outcome = failed_outcome(result) if isinstance(result, TaskFailure) else result
                assert isinstance(outcome, Outcome)
                yield from self._decided(present[number], outcome, dead)
        # Each takes all processes: together they would only hold more memory.
        for number, found in large:
            one = present[number]
            outcome = convert_in_parts(self._pool, conversions[number], found, one.event.sop_uid)
            yield from self._decided(one, outcome, dead)

    def _decided(self, one: Received, outcome: Outcome, dead: list[Dead]) -> Iterator[Decided]:
        if outcome.error and outcome.error.code in _NO_WORD_ON_THE_OBJECT:
            dead.append(gone(self._settings.storage, one, outcome.error.reason))
        else:
            yield Decided(one.event, outcome)

    def _conversion(self, event: Event) -> Conversion:
        return Conversion(
            locate(self._settings.storage, event.file_path),
            locate(self._settings.renditions, event.file_path),
        )


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


def _log_message(event: Event) -> Message:
    return Message(LOG_QUEUE, event.key, encode(event))
