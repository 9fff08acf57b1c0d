"""Which messages may leave the event log: old ones that every stage has passed."""

from collections.abc import Callable

from dicom_pipeline.catalog import Catalog
from dicom_pipeline.event_log import EventLog, Watermarks
from dicom_pipeline.event_log.bounds import is_of_topic
from dicom_pipeline.messages import DEAD_LETTER_QUEUE
from dicom_pipeline.stages import STAGES, Stage

NeededFrom = Callable[[int, Watermarks], int]
"""(partition, its watermarks) -> the first offset that must stay, however old it is."""


def trim_event_log(log: EventLog, catalog: Catalog, older_than: int) -> dict[str, int]:
    """Delete messages published before ``older_than`` (µs) that their stage has processed.

    What waits for an operator stays, with all that follows it, so that it can be re-executed.

    Returns:
        How many messages of each queue were deleted. Dead letters go by age alone.
    """
    deleted = {
        stage.queue: _trim(log, stage.queue, older_than, _needed_from(stage, log, catalog))
        for stage in STAGES
    }
    return deleted | {DEAD_LETTER_QUEUE: _trim(log, DEAD_LETTER_QUEUE, older_than, None)}


def _needed_from(stage: Stage, log: EventLog, catalog: Catalog) -> NeededFrom:
    """The first message that the stage has not processed or that waits for an operator."""
    committed = log.committed(stage.consumer_group, stage.queue)
    # Asked for after the committed offsets: what these have passed over is written down by then.
    topic_id = log.topic_id(stage.queue)
    waiting = [
        one.offsets for one in catalog.abandoned(stage.queue) if is_of_topic(one.offsets, topic_id)
    ]

    def needed_from(partition: int, marks: Watermarks) -> int:
        starts = [one.start for one in waiting if one.partition == partition]
        # A range that has lost messages cannot be saved.
        first = min((start for start in starts if start >= marks.low), default=marks.high)
        return min(first, committed.get(partition, marks.low))

    return needed_from


def _trim(log: EventLog, topic: str, older_than: int, needed_from: NeededFrom | None) -> int:
    """Trim every partition of a topic; gives the number of deleted messages."""
    deleted = 0
    for partition, marks in log.watermarks(topic).items():
        keep_from = first_since(log, topic, partition, marks, older_than)
        if needed_from:
            keep_from = min(keep_from, needed_from(partition, marks))
        if keep_from > marks.low:
            deleted += log.trim(topic, partition, keep_from) - marks.low
    return deleted


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
