"""Getting past messages that Doris refuses, with every good row in the table.

Doris tells how many rows it refused, not which. By its version it has read past them, or reads them
again. So the repair reads the log itself: from where everything was accounted for, to the last
refused message that it finds.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from dicom_pipeline.batches import batches
from dicom_pipeline.dead_letters import dead_letter, publish_dead_letters
from dicom_pipeline.errors import PermanentError
from dicom_pipeline.event_log import Record, Watermarks
from dicom_pipeline.messages import LOG_QUEUE, DeadLetter, OffsetRange
from dicom_pipeline.ranges import BATCH_BYTES
from dicom_pipeline.routine_load.manager import RoutineLoad
from dicom_pipeline.routine_load.opening import Managed
from dicom_pipeline.routine_load.positions import accounted, created_anew
from dicom_pipeline.routine_load.refusals import Refusal, Rules
from dicom_pipeline.routine_load.state import RoutineLoadState
from dicom_pipeline.stages import OBJECT_META
from dicom_pipeline.warehouse import OBJECT_META as TABLE

_BATCH: Final = 1000
_NAMED: Final = 100
"""Refused messages that the report names; the dead letters hold them all."""


@dataclass(slots=True)
class RepairReport:
    """What a repair did."""

    messages: int = 0
    """Messages that were read and accounted for."""
    loaded: int = 0
    """Rows that were sent by Stream Load; those that were there already did not change."""
    dead_letters: Counter[str] = field(default_factory=Counter)
    """Refused messages, by code."""
    refused: list[str] = field(default_factory=list)
    """The first of them: partition, offset and reason."""
    gone: int = 0
    """Messages that left the event log before they were read."""
    moved: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Where each partition stood and from where it goes on, if that differs."""
    error_rows: int = 0
    """What Doris says of refused rows since it was created."""
    resumed: bool = False

    def summary(self) -> str:
        """The report in a sentence."""
        dead = sum(self.dead_letters.values())
        moved = ", ".join(f"{p} from {new}" for p, (_, new) in self.moved.items())
        return (
            f"{self.messages} messages accounted for: {self.loaded} rows, {dead} dead letters"
            + (f"; {self.gone} messages are gone from the queue" if self.gone else "")
            + (f"; partitions go on: {moved}" if moved else "")
            + ("; resumed" if self.resumed else "; it stays paused")
        )


def repair(managed: Managed, look_ahead: int, *, resume: bool = True) -> RepairReport:
    """Account for every message up to the last refused one, and go on behind it.

    Refused messages become dead letters, all others rows. It may be killed anywhere and repeated:
    dead letters are told by their offsets, rows are ordered by their versions, offsets are altered
    and noted as accounted for when that is done. Killed in between, the routine load stays paused.

    Args:
        managed: the routine load and its systems.
        look_ahead: how many messages of each partition are searched, from where it stands.
        resume: whether it goes on afterwards.

    Raises:
        PermanentError: there is no routine load, its topic was created anew, or it claims to have
            read what the topic does not hold.
        TransientError: Doris or Kafka is away.
    """
    load, log, warehouse = managed
    found = load.require()
    with load.paused(found, resume=False) as standing:
        topic_id = log.topic_id(LOG_QUEUE)
        watermarks = log.watermarks(LOG_QUEUE)
        _require_same_topic(load, standing, topic_id, watermarks)
        report = RepairReport(error_rows=standing.statistic.error_rows)
        work = _Work(managed, Rules(warehouse.options), report)
        committed = log.committed(OBJECT_META.consumer_group, LOG_QUEUE)
        ends: dict[int, int] = {}
        stood = standing.next_offsets(watermarks)
        for partition, offset in stood.items():
            marks = watermarks[partition]
            reached = max(offset, marks.low)
            report.gone += reached - offset
            start = min(accounted(marks, committed.get(partition)), reached)
            ahead = OffsetRange(
                LOG_QUEUE, topic_id, partition, reached, min(marks.high, reached + look_ahead)
            )
            ends[partition] = work.last_refused(ahead)
            work.account_for(OffsetRange(LOG_QUEUE, topic_id, partition, start, ends[partition]))
            if ends[partition] != offset:
                report.moved[partition] = (offset, ends[partition])
        if report.moved:
            load.alter_paused({}, ends)
        for partition, end in ends.items():
            log.commit(OBJECT_META.consumer_group, LOG_QUEUE, partition, end)
    if resume:
        load.resume_anyway()
    report.resumed = resume
    return report


@dataclass(slots=True)
class _Work:
    managed: Managed
    rules: Rules
    report: RepairReport

    def last_refused(self, ahead: OffsetRange) -> int:
        """The offset behind the last refused message of a range; its start if there is none."""
        behind = ahead.start
        for record in self._read(ahead):
            if isinstance(self.rules.judge(record.value), Refusal):
                behind = record.offset + 1
        return behind

    def account_for(self, offsets: OffsetRange) -> None:
        """Make dead letters of the refused messages, and rows of the others."""
        for records in batches(
            self._read(offsets), _BATCH, BATCH_BYTES, lambda each: len(each.value)
        ):
            judged = [(record, self.rules.judge(record.value)) for record in records]
            rows = [row for _, row in judged if not isinstance(row, Refusal)]
            letters = [
                self._letter(record, refusal)
                for record, refusal in judged
                if isinstance(refusal, Refusal)
            ]
            publish_dead_letters(self.managed.log, letters)
            if rows:
                first, last = records[0].offset, records[-1].offset
                label = f"repair:{offsets.topic_id}:{offsets.partition}:{first}-{last}"
                self.report.loaded += self.managed.warehouse.load(TABLE, rows, label)
            self.report.messages += len(records)

    def _read(self, offsets: OffsetRange) -> Iterable[Record]:
        return self.managed.log.read(offsets) if len(offsets) > 0 else ()

    def _letter(self, record: Record, refusal: Refusal) -> DeadLetter:
        self.report.dead_letters[refusal.code] += 1
        if len(self.report.refused) < _NAMED:
            self.report.refused.append(f"{record.partition}:{record.offset}: {refusal.reason}")
        return dead_letter(record, refusal.code, refusal.reason)


def _require_same_topic(
    load: RoutineLoad,
    standing: RoutineLoadState,
    topic_id: str,
    watermarks: Mapping[int, Watermarks],
) -> None:
    if standing.topic_id not in {None, topic_id}:
        raise PermanentError(
            f"{created_anew(load.topic)}: recreate it from the beginning (`dicom-pipeline "
            "routine-load recreate --start OFFSET_BEGINNING`)"
        )
    for partition, offset in standing.next_offsets(watermarks).items():
        if offset > watermarks[partition].high:
            raise PermanentError(
                f"partition {partition} of {load.topic} ends at {watermarks[partition].high}, but "
                f"{offset} messages were read: it was created anew or restored from an older copy: "
                "recreate it from the beginning (`dicom-pipeline routine-load recreate --start "
                "OFFSET_BEGINNING`)"
            )
