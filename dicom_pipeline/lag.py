"""How far a stage is behind its queue: what the UI plots and `status` prints."""

from collections import Counter
from typing import NamedTuple

from dicom_pipeline import streams
from dicom_pipeline.catalog import Catalog
from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.event_log import EventLog
from dicom_pipeline.stages import Stage
from dicom_pipeline.streams import Ledger


class QueueFigures(NamedTuple):
    """The figures of one queue."""

    lag_messages: int
    """Messages that are not processed: unplanned, outstanding or abandoned."""
    lag_seconds: float
    """Age of the oldest message that is unplanned or outstanding."""
    outstanding_ranges: int
    abandoned_ranges: int
    """Ranges that wait for an operator."""
    high_watermark: int
    """Messages that were ever published."""


def queue_figures(stage: Stage, log: EventLog, catalog: Catalog, ledger: Ledger) -> QueueFigures:
    """The figures of one stage's queue over all its partitions.

    A message counts as lag until the run over it has succeeded.
    """
    watermarks = log.watermarks(stage.queue)
    abandoned = [one.offsets for one in catalog.abandoned(stage.queue)]
    waiting = Counter[int]()
    for offsets in abandoned:
        if offsets.topic_id == ledger.planning_id:  # other generations' are planned anew
            waiting[offsets.partition] += len(offsets)
    lag = sum(streams.lag(ledger, watermarks, waiting).values())
    oldest = [
        stamp
        for partition, offset in streams.oldest_unprocessed(ledger, watermarks).items()
        if (stamp := log.timestamp(stage.queue, partition, offset)) is not None
    ]
    seconds = max(0, wall_clock_us() - min(oldest)) / 1_000_000 if oldest else 0.0
    return QueueFigures(
        lag_messages=lag,
        lag_seconds=round(seconds, 3),
        outstanding_ranges=len(ledger.outstanding),
        abandoned_ranges=len(abandoned),
        high_watermark=sum(mark.high for mark in watermarks.values()),
    )


def consumed_figures(stage: Stage, log: EventLog) -> QueueFigures:
    """The figures of a queue that somebody reads who plans no ranges: Doris' routine load.

    A message counts as lag until it is accounted for (`EventLog.committed`).
    """
    watermarks = log.watermarks(stage.queue)
    committed = log.committed(stage.consumer_group, stage.queue)
    lag, oldest = 0, []
    for partition, (low, high) in watermarks.items():
        passed = min(max(low, committed.get(partition, low)), high)
        lag += high - passed
        if passed < high and (stamp := log.timestamp(stage.queue, partition, passed)) is not None:
            oldest.append(stamp)
    seconds = max(0, wall_clock_us() - min(oldest)) / 1_000_000 if oldest else 0.0
    return QueueFigures(
        lag_messages=lag,
        lag_seconds=round(seconds, 3),
        outstanding_ranges=0,
        abandoned_ranges=0,
        high_watermark=sum(mark.high for mark in watermarks.values()),
    )
