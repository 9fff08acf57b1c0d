"""How far the stages are behind, so that the queues hold little more than these can do soon."""

from typing import NamedTuple

from dicom_pipeline.event_log import EventLog
from dicom_pipeline.stages import OBJECT_META, RENDITIONS, STAGES, Stage

Marks = dict[Stage, dict[int, int]]
"""By stage and partition, the offset behind the last message of interest."""


class Lag(NamedTuple):
    """Messages that a stage has not passed."""

    stage: str
    messages: int


def longest_lag(log: EventLog) -> Lag:
    """The stage that has most to do."""
    lags = [Lag(stage.name, _before(log, stage, _ends(log, stage))) for stage in STAGES]
    return max(lags, key=lambda one: one.messages)


def marks(log: EventLog) -> Marks:
    """Where the queues end now."""
    return {stage: _ends(log, stage) for stage in STAGES}


class Following:
    """Tells when the stages have passed all that was in the queues at the beginning.

    What the rendition stage says goes through `log_queue` once more, so its end is looked at again
    once the rendition stage is done.
    """

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._marks = marks(log)

    def left(self) -> int:
        """Messages that are still to be passed."""
        left = {stage: _before(self._log, stage, ends) for stage, ends in self._marks.items()}
        if RENDITIONS in left and not left[RENDITIONS]:
            del self._marks[RENDITIONS]
            self._marks[OBJECT_META] = _ends(self._log, OBJECT_META)
            left[OBJECT_META] = _before(self._log, OBJECT_META, self._marks[OBJECT_META])
        return sum(left.values())


def _ends(log: EventLog, stage: Stage) -> dict[int, int]:
    return {partition: high for partition, (_, high) in log.watermarks(stage.queue).items()}


def _before(log: EventLog, stage: Stage, ends: dict[int, int]) -> int:
    """Messages before ``ends`` that the stage has not passed and the log still holds."""
    committed = log.committed(stage.consumer_group, stage.queue)
    left = 0
    for partition, (low, high) in log.watermarks(stage.queue).items():
        passed = committed.get(partition, low)
        if passed > high:  # of the topic that was here before
            passed = low
        left += max(0, ends.get(partition, 0) - max(low, passed))
    return left
