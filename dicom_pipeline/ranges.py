"""What every stage does with its offset range: read, decode, handle in batches, set aside."""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from dicom_pipeline.batches import batches
from dicom_pipeline.dead_letters import dead_letter, publish_dead_letters
from dicom_pipeline.event_log import EventLog, Record
from dicom_pipeline.messages import (
    DeadLetter,
    Event,
    OffsetRange,
    UnreadableEventError,
    decode_event,
)

BATCH: Final = 500
"""Messages that are decoded and handled at a time, unless the stage asks for another number."""

BATCH_BYTES: Final = 16 << 20
"""Their bytes: more than so many events have, but not foreign messages."""

UNREADABLE_EVENT: Final = "unreadable_event"
"""Dead-letter code: the message is not an event of a known schema."""


class Received(NamedTuple):
    """An event and where it stands in the log."""

    event: Event
    partition: int
    offset: int
    value: bytes
    """The message as it was."""


class StageResult(NamedTuple):
    """What became of one batch."""

    counts: dict[str, int]
    """The stage's own figures, e.g. ``{"indexed": 12}``; they are summed over the range."""
    dead: Sequence[tuple[Received, str, str]] = ()
    """What could not be processed: (event, code, reason without patient data)."""


@dataclass(slots=True)
class RangeReport:
    """What became of one range."""

    messages: int = 0
    """All messages of the range."""
    objects: int = 0
    """Events that were processed: messages without the dead letters."""
    bytes: int = 0
    """Sum of the processed objects' file sizes."""
    seconds: float = 0.0
    """Wall-clock duration of the work."""
    counts: Counter[str] = field(default_factory=Counter)
    """The stage's own figures, summed."""
    dead_letters: Counter[str] = field(default_factory=Counter)
    """How many messages were set aside, by code."""
    first_timestamp: int | None = None
    """When the first message was published (µs since the epoch); None for an empty range."""
    last_timestamp: int | None = None
    """When the last message was published (µs since the epoch)."""


def process_range(
    log: EventLog,
    offsets: OffsetRange,
    handle: Callable[[Sequence[Received]], StageResult],
    *,
    batch: int = BATCH,
) -> RangeReport:
    """Hand the range's events to ``handle``, in offset order, at most ``batch`` at a time.

    Messages that are no events, and events that ``handle`` declares dead, go to
    ``dead_letter_queue``; they never fail the range. A replay of the range publishes the same dead
    letters again: their identity is (topic, partition, offset), by which a reader tells them.

    Raises:
        RangeGoneError: the log does not hold the whole range; nothing has been handled, unless
            retention overtook the reading.
        TransientError: the log is away. What ``handle`` raises passes through.
    """
    started = time.monotonic()
    report = RangeReport()
    for records in batches(log.read(offsets), batch, BATCH_BYTES, lambda each: len(each.value)):
        received, dead = _decode(records)
        if received:
            result = handle(received)
            report.counts.update(result.counts)
            dead += [_dead_letter(offsets.topic, *one) for one in result.dead]
        publish_dead_letters(log, dead)
        _add(report, records, received, dead)
    report.seconds = time.monotonic() - started
    return report


def _decode(records: Sequence[Record]) -> tuple[list[Received], list[DeadLetter]]:
    received, dead = [], []
    for record in records:
        try:
            event = decode_event(record.value)
        except UnreadableEventError as error:
            dead.append(dead_letter(record, UNREADABLE_EVENT, str(error)))
        else:
            received.append(Received(event, record.partition, record.offset, record.value))
    return received, dead


def _dead_letter(topic: str, received: Received, code: str, reason: str) -> DeadLetter:
    return DeadLetter(
        topic=topic,
        partition=received.partition,
        offset=received.offset,
        code=code,
        reason=reason,
        value=received.value,
        trace_id=received.event.trace_id,
    )


def _add(
    report: RangeReport,
    records: Sequence[Record],
    received: Sequence[Received],
    dead: Sequence[DeadLetter],
) -> None:
    set_aside = {letter.offset for letter in dead}
    processed = [one.event.file_size for one in received if one.offset not in set_aside]
    report.messages += len(records)
    report.objects += len(processed)
    report.bytes += sum(processed)
    report.dead_letters.update(letter.code for letter in dead)
    if report.first_timestamp is None:
        report.first_timestamp = records[0].timestamp
    report.last_timestamp = records[-1].timestamp


class _Size(msgspec.Struct):
    """The one field of an event that `end_within_bytes` needs."""

    file_size: int = 0


_size_decoder = msgspec.json.Decoder(_Size)


def end_within_bytes(log: EventLog, offsets: OffsetRange, limit: int) -> int:
    """Where to end a planned range so that its objects hold at most ``limit`` bytes together.

    The range keeps at least one message, however large its object is. Messages that are no events
    count as nothing.

    Raises:
        RangeGoneError: the log does not hold the whole range.
    """
    total = 0
    for record in log.read(offsets):
        with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            total += _size_decoder.decode(record.value).file_size
        if total > limit:
            return max(record.offset, offsets.start + 1)
    return offsets.end
