"""Which messages may leave the event log: old ones that every stage has passed."""

from dicom_pipeline.event_log import EventLog, Watermarks
from dicom_pipeline.messages import DEAD_LETTER_QUEUE
from dicom_pipeline.stages import STAGES


def trim_event_log(log: EventLog, older_than: int) -> dict[str, int]:
    """Delete messages published before ``older_than`` (µs) that their stage has processed.

    Returns:
        How many messages of each queue were deleted. Dead letters go by age alone.
    """
    deleted = {}
    for topic, group in [
        *((stage.queue, stage.consumer_group) for stage in STAGES),
        (DEAD_LETTER_QUEUE, None),
    ]:
        processed = log.committed(group, topic) if group else None
        deleted[topic] = sum(
            _trim_partition(log, topic, partition, marks, older_than, processed)
            for partition, marks in log.watermarks(topic).items()
        )
    return deleted


def _trim_partition(  # noqa: PLR0913, PLR0917 - a partition is named by four of them
    log: EventLog,
    topic: str,
    partition: int,
    marks: Watermarks,
    older_than: int,
    processed: dict[int, int] | None,
) -> int:
    limit = marks.high if processed is None else processed.get(partition, marks.low)
    keep_from = min(limit, first_since(log, topic, partition, marks, older_than))
    if keep_from <= marks.low:
        return 0
    return log.trim(topic, partition, keep_from) - marks.low


def first_since(log: EventLog, topic: str, partition: int, marks: Watermarks, moment: int) -> int:
    """The first offset published at or after ``moment`` (µs), by halving; the end if none was."""
    low, high = marks
    while low < high:
        middle = (low + high) // 2
        stamp = log.timestamp(topic, partition, middle)
        if stamp is not None and stamp < moment:
            low = middle + 1
        else:
            high = middle
    return low
