"""Setting a message aside: the dead-letter queue takes it, whatever its size."""

from collections.abc import Sequence
from typing import Final

import msgspec

from dicom_pipeline.errors import MessageRefusedError
from dicom_pipeline.event_log import EventLog, Message, Record
from dicom_pipeline.messages import DEAD_LETTER_QUEUE, EVENT_BYTES_MAX, DeadLetter, encode

REFUSED_EVENT: Final = "refused_event"
"""Dead-letter code: a queue will never take the event."""


def dead_letter(record: Record, code: str, reason: str) -> DeadLetter:
    """A message that cannot be processed, as it stands in its queue."""
    return DeadLetter(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        code=code,
        reason=reason,
        value=record.value[:EVENT_BYTES_MAX],
    )


def publish_dead_letters(log: EventLog, letters: Sequence[DeadLetter]) -> None:
    """Publish the letters; one that is too large leaves the message's own bytes out.

    Raises:
        MessageRefusedError: not even that is taken: the queue is badly configured.
        TransientError: the log is away.
    """
    try:
        log.publish([_message(letter) for letter in letters])
    except MessageRefusedError:
        for letter in letters:
            _publish_one(log, letter)


def _publish_one(log: EventLog, letter: DeadLetter) -> None:
    try:
        log.publish([_message(letter)])
    except MessageRefusedError:
        reason = f"{letter.reason} (its {len(letter.value)} bytes do not fit into a dead letter)"
        log.publish([_message(msgspec.structs.replace(letter, value=b"", reason=reason))])


def _message(letter: DeadLetter) -> Message:
    key = f"{letter.topic}:{letter.partition}:{letter.offset}"
    return Message(DEAD_LETTER_QUEUE, key, encode(letter))
