"""What is left to do, cheaply enough to be asked every second: without Dagster's instance."""

import sqlite3
from contextlib import closing

from dicom_pipeline.catalog import Catalog, open_catalog
from dicom_pipeline.event_log import EventLog, open_event_log
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import STAGES, Stage

OUTBOX = "outbox"


def messages_left(settings: Settings) -> dict[str, int]:
    """Events in the outbox, and messages that each stage has not processed.

    A stage's sensor commits the offset below which everything is finished or abandoned; abandoned
    messages are added. The order matters: each stage is asked after those that feed its queue.

    Raises:
        TransientError: a system is away.
    """
    left = {OUTBOX: outbox_depth(settings)}
    with open_event_log(settings) as log, open_catalog(settings) as catalog:
        for stage in STAGES:
            left[stage.name] = _stage_left(stage, log, catalog)
    return left


def _stage_left(stage: Stage, log: EventLog, catalog: Catalog) -> int:
    committed = log.committed(stage.consumer_group, stage.queue)
    waiting = sum(
        high - max(low, committed.get(partition, low))
        for partition, (low, high) in log.watermarks(stage.queue).items()
    )
    return waiting + sum(len(one.offsets) for one in catalog.abandoned(stage.queue))


def outbox_depth(settings: Settings) -> int:
    """Events in the outboxes of this home that were not forwarded yet."""
    depth = 0
    for path in sorted(settings.outbox.parent.glob("*.db")):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            depth += connection.execute("SELECT COUNT(*) FROM outbox").fetchone()[0]
    return depth
