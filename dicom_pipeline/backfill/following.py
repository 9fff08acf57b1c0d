"""What became of the objects that a backfill has sent."""

from collections import Counter
from typing import Final, NamedTuple

from dicom_pipeline.event_log import EventLog
from dicom_pipeline.messages import TRANSCODE_QUEUE
from dicom_pipeline.stages import RENDITIONS
from dicom_pipeline.stages.conversion_records import FAILED, RECOVERED
from dicom_pipeline.warehouse import CONVERSION_RECORD, CONVERSION_RETRY, Warehouse

Marks = dict[int, int]
"""By partition, the offset behind the last message of interest."""

OUTCOMES: Final = (
    "SELECT latest.state AS state, latest.error_code AS error_code, COUNT(*) AS number_of_objects "  # noqa: S608 - our own names
    f"FROM {CONVERSION_RETRY} AS sent JOIN {CONVERSION_RECORD} AS latest "
    "ON latest.tenant_id = sent.tenant_id AND latest.trace_id = sent.trace_id "
    "AND latest.stage = sent.stage "
    "WHERE sent.backfill_id = :backfill_id "
    "AND (latest.attempt > sent.attempt OR latest.state = :recovered) "
    "GROUP BY latest.state, latest.error_code"
)


class Outcomes(NamedTuple):
    """How far a backfill is."""

    recovered: int
    failed: dict[str, int]
    """Objects whose next attempt has failed as well, by error code."""
    passed: bool
    """The rendition stage has passed all that was sent: who is undecided now remains so."""

    @property
    def decided(self) -> int:
        """Objects whose attempt has ended."""
        return self.recovered + sum(self.failed.values())


def marks(log: EventLog) -> Marks:
    """Where ``transcode_queue`` ends now: to be asked for after the sending."""
    return {partition: high for partition, (_, high) in log.watermarks(TRANSCODE_QUEUE).items()}


def follow(log: EventLog, warehouse: Warehouse, backfill_id: str, behind: Marks) -> Outcomes:
    """What is decided of the backfill's objects now.

    An object without a word although the stage has passed it: its file is gone (see the dead
    letters), or its range waits for an operator.
    """
    passed = _passed(log, behind)  # asked for first: what was passed is in the tables by then
    failed: Counter[str] = Counter()
    recovered = 0
    for row in warehouse.query(OUTCOMES, backfill_id=backfill_id, recovered=RECOVERED):
        number = int(str(row["number_of_objects"]))
        if row["state"] == FAILED:
            failed[str(row["error_code"])] += number
        else:
            recovered += number
    return Outcomes(recovered, dict(failed), passed)


def _passed(log: EventLog, behind: Marks) -> bool:
    committed = log.committed(RENDITIONS.consumer_group, TRANSCODE_QUEUE)
    return all(committed.get(partition, 0) >= mark for partition, mark in behind.items())


def waiting(log: EventLog) -> int:
    """Messages in ``transcode_queue`` that the rendition stage has not passed."""
    committed = log.committed(RENDITIONS.consumer_group, TRANSCODE_QUEUE)
    return sum(
        high - max(low, committed.get(partition, low))
        for partition, (low, high) in log.watermarks(TRANSCODE_QUEUE).items()
    )
