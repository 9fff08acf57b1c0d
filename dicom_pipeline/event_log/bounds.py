"""Whether an offset range is still wholly in the log: the same words for every adapter."""

from collections.abc import Mapping

from dicom_pipeline.errors import ConfigurationError, RangeGoneError
from dicom_pipeline.event_log import Watermarks
from dicom_pipeline.messages import OffsetRange


def require_range(
    offsets: OffsetRange, topic_id: str, watermarks: Mapping[int, Watermarks]
) -> None:
    """Check a range against the topic's present id and watermarks.

    Raises:
        RangeGoneError: the topic was created anew, its partition is missing, or the log starts
            behind the range's start or ends before its end.
    """
    if offsets.topic_id != topic_id:
        raise RangeGoneError(
            f"all {len(offsets)} messages of {offsets} are gone: the topic was deleted and created "
            f"again (planned on id {offsets.topic_id}, now {topic_id}); publish the objects again"
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
            "keep messages for longer (EVENT_LOG_RETENTION_HOURS) and publish the objects again"
        )
    if offsets.end > high:
        missing = offsets.end - max(high, offsets.start)
        raise RangeGoneError(
            f"{missing} of {len(offsets)} messages of {offsets} are missing: the log ends at "
            f"{high}; was it restored from an older copy? Publish the objects again"
        )


def unknown_topic(topic: str) -> ConfigurationError:
    """The error for a topic that was never created."""
    return ConfigurationError(
        f"topic {topic!r} does not exist in the event log: create it with `dicom-pipeline migrate`"
    )
