"""Which messages of a log no stage has processed: what must be published again to a new one.

Topics of another log have other ids and count their offsets from 0, so nothing that was planned
on the old one can be finished on the new one: the ledger's outstanding ranges, what was not
planned yet, and the ranges that wait for an operator all start over there.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from dicom_pipeline import streams
from dicom_pipeline.catalog import AbandonedRange
from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.errors import PermanentError
from dicom_pipeline.event_log import EventLog, Watermarks
from dicom_pipeline.event_log.bounds import is_of_topic
from dicom_pipeline.messages import DEAD_LETTER_QUEUE, OffsetRange
from dicom_pipeline.stages import STAGES, Stage
from dicom_pipeline.streams import Ledger, Limits


class Pending(NamedTuple):
    """What one queue's consumer has left to do."""

    ranges: list[OffsetRange]
    """Disjoint, by partition and start: what the log still holds of it."""
    gone: list[AbandonedRange]
    """What waits for an operator although the log does not hold all of it any more."""


def pending(
    log: EventLog,
    abandoned: Sequence[AbandonedRange],
    ledgers: Mapping[str, Ledger],
    limits: Limits,
) -> dict[str, Pending]:
    """What each queue has left.

    Args:
        log: the log to be left.
        abandoned: the ranges that wait for an operator.
        ledgers: of each sensor, by its name. Without one, all that its queue holds is pending.
        limits: those of planning.

    Returns:
        By queue. Dead letters are never processed, so all of them are pending.
    """
    left = {
        stage.queue: _of_stage(
            stage,
            log,
            [one for one in abandoned if one.offsets.topic == stage.queue],
            ledgers.get(stage.sensor_name, Ledger()),
            limits,
        )
        for stage in STAGES
    }
    letters = {partition: [marks] for partition, marks in log.watermarks(DEAD_LETTER_QUEUE).items()}
    topic_id = log.topic_id(DEAD_LETTER_QUEUE)
    return left | {DEAD_LETTER_QUEUE: Pending(_ranges(DEAD_LETTER_QUEUE, topic_id, letters), [])}


def _of_stage(
    stage: Stage,
    log: EventLog,
    abandoned: Sequence[AbandonedRange],
    ledger: Ledger,
    limits: Limits,
) -> Pending:
    topic_id = log.topic_id(stage.queue)
    watermarks = log.watermarks(stage.queue)
    # A tick without news: it finds out whether the ledger speaks of this log, as a sensor would.
    plan = streams.plan(
        ledger,
        stage.queue,
        topic_id,
        watermarks,
        {},
        wall_clock_us(),
        limits,
        lambda partition, offset: _published_at(
            log, OffsetRange(stage.queue, topic_id, partition, offset, offset + 1)
        ),
    )
    gone = [AbandonedRange(*one) for one in plan.abandoned]
    spans: dict[int, list[Watermarks]] = {
        partition: [Watermarks(plan.ledger.next[partition], marks.high)]
        for partition, marks in watermarks.items()
    }
    for one in plan.ledger.outstanding:
        spans[one.partition].append(Watermarks(one.start, one.end))
    for waiting in abandoned:
        offsets = waiting.offsets
        marks = watermarks.get(offsets.partition)
        if marks is None or not is_of_topic(offsets, topic_id):
            gone.append(waiting)
            continue
        if offsets.start < marks.low or offsets.end > marks.high:
            gone.append(waiting)
        spans[offsets.partition].append(Watermarks(offsets.start, offsets.end))
    held = {
        partition: [
            Watermarks(max(start, watermarks[partition].low), min(end, watermarks[partition].high))
            for start, end in of_partition
        ]
        for partition, of_partition in spans.items()
    }
    return Pending(_ranges(stage.queue, topic_id, held), gone)


def _ranges(
    topic: str, topic_id: str, spans: Mapping[int, Iterable[Watermarks]]
) -> list[OffsetRange]:
    """The spans as disjoint ranges, in order; empty ones are left out."""
    ranges: list[OffsetRange] = []
    for partition in sorted(spans):
        reached = -1
        for start, end in sorted(spans[partition]):
            begin = max(start, reached)
            if begin >= end:
                continue
            if ranges and begin == reached:
                begin = ranges.pop().start
            ranges.append(OffsetRange(topic, topic_id, partition, begin, end))
            reached = end
    return ranges


def _published_at(log: EventLog, message: OffsetRange) -> int | None:
    """When this one message was published; None when the log does not hold it."""
    try:
        return next(log.read(message)).timestamp
    except PermanentError:
        return None
