"""Whether an offset range is still wholly in the log: the same words for every adapter.

A ledger that starts over plans offsets that were planned before. So that nothing takes one for the
other, the topic id in its ranges carries the ledger's generation: ``<topic id>:<generation>``.
"""

from collections.abc import Mapping
from typing import Final

from dicom_pipeline.errors import ConfigurationError, RangeGoneError
from dicom_pipeline.event_log import Watermarks
from dicom_pipeline.messages import OffsetRange

_GENERATION: Final = ":"
"""No topic id holds it, neither a UUID nor Kafka's URL-safe base 64."""

_WHAT_IS_LEFT: Final = (
    "to have their objects processed, move their files out of the storage folder and send these"
)


class UnknownTopicError(ConfigurationError):
    """A topic was never created, or was deleted."""


def planning_id(topic_id: str, generation: str) -> str:
    """The topic id in the ranges that a ledger of this generation plans."""
    return f"{topic_id}{_GENERATION}{generation}" if generation else topic_id


def is_of_topic(offsets: OffsetRange, topic_id: str) -> bool:
    """Whether the range was planned, by whichever generation, on the topic with this id."""
    return offsets.topic_id.partition(_GENERATION)[0] == topic_id


def require_range(
    offsets: OffsetRange, topic_id: str, watermarks: Mapping[int, Watermarks]
) -> None:
    """Check a range against the topic's present id and watermarks.

    Raises:
        RangeGoneError: the topic was created anew, its partition is missing, or the log starts
            behind the range's start or ends before its end.
    """
    if not is_of_topic(offsets, topic_id):
        raise RangeGoneError(
            f"all {len(offsets)} messages of {offsets} are gone: the topic was deleted and created "
            f"again (planned on id {offsets.topic_id}, now {topic_id}); {_WHAT_IS_LEFT}"
        )
    if offsets.partition not in watermarks:
        raise RangeGoneError(
            f"all {len(offsets)} messages of {offsets} are gone: {offsets.topic} has no partition "
            f"{offsets.partition}, only {sorted(watermarks)}"
        )
    low, high = watermarks[offsets.partition]
    if offsets.start < low:
        gone = min(low, offsets.end) - offsets.start
        raise RangeGoneError(
            f"{gone} of {len(offsets)} messages of {offsets} are gone: the log starts at {low}; "
            f"keep messages for longer (EVENT_LOG_RETENTION_HOURS); {_WHAT_IS_LEFT}"
        )
    if offsets.end > high:
        missing = offsets.end - max(high, offsets.start)
        raise RangeGoneError(
            f"{missing} of {len(offsets)} messages of {offsets} are missing: the log ends at "
            f"{high}; was it restored from an older copy? Then {_WHAT_IS_LEFT}"
        )


def unknown_topic(topic: str) -> UnknownTopicError:
    """The error for a topic that was never created."""
    return UnknownTopicError(
        f"topic {topic!r} does not exist in the event log: create it with `dicom-pipeline migrate`"
    )
