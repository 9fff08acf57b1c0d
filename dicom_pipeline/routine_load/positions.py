"""Where a routine load goes on: never at the beginning by accident, never past unread messages."""

import time
from typing import Final

from dicom_pipeline.errors import PermanentError, TransientError
from dicom_pipeline.event_log import EventLog, Watermarks
from dicom_pipeline.messages import LOG_QUEUE
from dicom_pipeline.routine_load.state import RoutineLoadState
from dicom_pipeline.routine_load.statements import Start
from dicom_pipeline.stages import OBJECT_META

_BY_NAME: Final = f"begin by name: --start {Start.BEGINNING} or {Start.END}"
_PATIENCE_SECONDS: Final = 15
_PAUSE_SECONDS: Final = 0.25


def positions_after(former: RoutineLoadState, topic: str, log: EventLog) -> dict[int, int]:
    """The offset of each partition of the topic from which another one would go on.

    Partitions that it did not read are read from their first message.

    Args:
        former: stopped, or paused so that its progress stands still.
        topic: the log queue's name in the cluster.
        log: where the queue is.

    Raises:
        PermanentError: the topic was created anew or holds less than was read, messages that were
            not read are gone, or it was never known where it stood.
    """
    watermarks = log.watermarks(LOG_QUEUE)
    if former.topic != topic:
        raise PermanentError(
            f"{former.name} reads topic {former.topic}, the queue is {topic}: {_BY_NAME}"
        )
    if former.topic_id not in {None, log.topic_id(LOG_QUEUE)}:
        raise PermanentError(f"{created_anew(topic)}: {_BY_NAME}")
    if former.begins_at_the_end:
        raise PermanentError(
            f"{former.name} was to begin at the end and never did: where that was is not known: "
            f"{_BY_NAME}"
        )
    stood = former.next_offsets(watermarks)
    for partition, offset in stood.items():
        low, high = watermarks[partition]
        if offset > high:
            raise PermanentError(
                f"partition {partition} of {topic} ends at {high}, but {offset} messages were "
                f"read: it was created anew or restored from an older copy: {_BY_NAME}"
            )
        if offset < low:
            raise PermanentError(
                f"{low - offset} messages of partition {partition} of {topic} are gone that were "
                f"not read: repair it, which goes on at {low}, or {_BY_NAME}"
            )
    return {partition: marks.low for partition, marks in watermarks.items()} | stood


def positions_accounted_for(log: EventLog) -> dict[int, int] | None:
    """The offset of each partition behind what is accounted for; None: nothing ever was."""
    committed = _committed(log)
    if not committed:
        return None
    return {
        partition: accounted(marks, committed.get(partition))
        for partition, marks in log.watermarks(LOG_QUEUE).items()
    }


def accounted(marks: Watermarks, committed: int | None) -> int:
    """The offset below which every message is in the table or a dead letter."""
    if committed is None or not marks.low <= committed <= marks.high:
        return marks.low
    return committed


def created_anew(topic: str) -> str:
    """What to say of a topic that is another one than when the routine load was created."""
    return (
        f"topic {topic} was deleted and created again: its offsets begin anew, and what the "
        "routine load has read is not what is there now"
    )


def _committed(log: EventLog) -> dict[int, int]:
    """What is noted. Brokers that are new find out first who looks after a group."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return log.committed(OBJECT_META.consumer_group, LOG_QUEUE)
        except TransientError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)
