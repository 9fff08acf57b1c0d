"""Publishing again what is pending."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

import msgspec

from dicom_pipeline.batches import batches
from dicom_pipeline.dead_letters import REFUSED_EVENT, dead_letter, publish_dead_letters
from dicom_pipeline.errors import MessageRefusedError
from dicom_pipeline.event_log import EventLog, Message, Record
from dicom_pipeline.messages import (
    DEAD_LETTER_QUEUE,
    DeadLetter,
    OffsetRange,
    decode_dead_letter,
)
from dicom_pipeline.moving.journal import Journal, QueuePosition
from dicom_pipeline.moving.source import BATCH_BYTES, BATCH_ROWS


class Logs(NamedTuple):
    """The log that is left and the one that takes its place."""

    source: EventLog
    target: EventLog


def present_position(target: EventLog, queue: str) -> QueuePosition:
    """Where a queue of the target stands before anything was published.

    Raises:
        ConfigurationError: it does not exist.
    """
    return QueuePosition(target.topic_id(queue), _ever_taken(target, queue))


def publish_pending(
    queue: str,
    ranges: Sequence[OffsetRange],
    logs: Logs,
    journal: Journal,
    advance: Callable[[int], None],
) -> None:
    """Publish the messages of ``ranges`` to the target's queue, in their order.

    After an interruption the last batch may be published twice, which changes no row.

    Args:
        queue: the topic, here and there.
        ranges: what is pending, in the order of `pending.Pending`.
        logs: where they are, and where to publish them.
        journal: knows how many were published.
        advance: is told how many are, after each batch.
    """
    position = journal.queue(queue, present_position(logs.target, queue))
    journal.save()
    advance(position.published)
    pending = _records(logs.source, ranges, skip=position.published)
    for batch in batches(pending, BATCH_ROWS, BATCH_BYTES, lambda each: len(each.value)):
        position.set_aside += _publish(queue, batch, logs.target)
        position.published += len(batch)
        journal.save()
        advance(position.published)


def arrived(queue: str, target: EventLog, journal: Journal) -> int:
    """How many messages the target has taken since the copying began; those set aside count."""
    position = journal.queue(queue, present_position(target, queue))
    return _ever_taken(target, queue) - position.before + position.set_aside


def _publish(queue: str, batch: Sequence[Record], target: EventLog) -> int:
    """Publish the records; returns how many became dead letters.

    One that the target will never take, such as one too large, must not hold up the others. What
    was published before it may be published twice.
    """
    try:
        target.publish([Message(queue, record.key, record.value) for record in batch])
    except MessageRefusedError as error:
        if len(batch) > 1:
            return sum(_publish(queue, [record], target) for record in batch)
        (record,) = batch
        publish_dead_letters(target, [_letter(queue, record, str(error))])
        return int(queue != DEAD_LETTER_QUEUE)
    return 0


def _letter(queue: str, record: Record, reason: str) -> DeadLetter:
    if queue == DEAD_LETTER_QUEUE:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            return decode_dead_letter(record.value)
    return dead_letter(record, REFUSED_EVENT, reason)


def _ever_taken(log: EventLog, queue: str) -> int:
    return sum(marks.high for marks in log.watermarks(queue).values())


def _records(log: EventLog, ranges: Iterable[OffsetRange], skip: int) -> Iterator[Record]:
    for offsets in ranges:
        passed = min(skip, len(offsets))
        skip -= passed
        if passed < len(offsets):
            start = offsets.start + passed
            yield from log.read(
                OffsetRange(offsets.topic, offsets.topic_id, offsets.partition, start, offsets.end)
            )
