"""Publishing again what is pending."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from dicom_pipeline.event_log import EventLog, Message, Record
from dicom_pipeline.messages import (
    DEAD_LETTER_QUEUE,
    EVENT_BYTES_MAX,
    DeadLetter,
    OffsetRange,
    encode,
)
from dicom_pipeline.moving.journal import Journal, QueuePosition
from dicom_pipeline.moving.source import BATCH_BYTES, BATCH_ROWS
from dicom_pipeline.ranges import UNREADABLE_EVENT


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
    for batch in _batches(_records(logs.source, ranges, skip=position.published)):
        messages = [_message(queue, record) for record in batch]
        logs.target.publish(messages)
        position.published += len(batch)
        position.set_aside += sum(message.topic != queue for message in messages)
        journal.save()
        advance(position.published)


def arrived(queue: str, target: EventLog, journal: Journal) -> int:
    """How many messages the target has taken since the copying began; those set aside count."""
    position = journal.queue(queue, present_position(target, queue))
    return _ever_taken(target, queue) - position.before + position.set_aside


def _message(queue: str, record: Record) -> Message:
    """What is published for a record.

    One that is too long for an event might be too long for the target as well. It is set aside as
    its stage would have done it.
    """
    if queue == DEAD_LETTER_QUEUE or len(record.value) <= EVENT_BYTES_MAX:
        return Message(queue, record.key, record.value)
    letter = DeadLetter(
        topic=queue,
        partition=record.partition,
        offset=record.offset,
        code=UNREADABLE_EVENT,
        reason=f"not an event: {len(record.value)} bytes, of which {EVENT_BYTES_MAX} are kept here",
        value=record.value[:EVENT_BYTES_MAX],
    )
    key = f"{queue}:{record.partition}:{record.offset}"
    return Message(DEAD_LETTER_QUEUE, key, encode(letter))


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


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """At most `BATCH_ROWS` records, and little more than `BATCH_BYTES`, at a time."""
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record.value)
        if len(batch) >= BATCH_ROWS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
