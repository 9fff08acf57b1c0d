"""What is left to do, cheaply enough to be asked every second: without Dagster's instance."""

import sqlite3
from contextlib import closing

from dicom_pipeline.catalog import Catalog, open_catalog
from dicom_pipeline.event_log import EventLog, Watermarks, open_event_log
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import STAGES, Stage
from dicom_pipeline.storage import unfinished

RECEIPTS = "receipts"
OUTBOX = "outbox"


def messages_left(settings: Settings) -> dict[str, int]:
    """Unfinished receipts, events in the outbox, and what each stage has not processed.

    A stage's sensor commits the offset below which everything is finished or abandoned; abandoned
    messages are added. The order matters: each is asked after those that feed it. Outboxes of
    receivers in other homes cannot be seen from here.

    Raises:
        TransientError: a system is away.
    """
    left = {RECEIPTS: unfinished_receipts(settings), OUTBOX: outbox_depth(settings)}
    with open_event_log(settings) as log, open_catalog(settings) as catalog:
        for stage in STAGES:
            left[stage.name] = _stage_left(stage, log, catalog)
    return left


def manifests_due(settings: Settings) -> int:
    """Studies whose manifests are to be written.

    Raises:
        TransientError: the catalog is away.
    """
    with open_catalog(settings) as catalog:
        (row,) = catalog.query("SELECT COUNT(*) AS n FROM study_manifest WHERE due > ''")
    return int(str(row["n"]))


def _stage_left(stage: Stage, log: EventLog, catalog: Catalog) -> int:
    committed = log.committed(stage.consumer_group, stage.queue)
    waiting = sum(
        marks.high - _passed(marks, committed.get(partition))
        for partition, marks in log.watermarks(stage.queue).items()
    )
    return waiting + sum(len(one.offsets) for one in catalog.abandoned(stage.queue))


def _passed(marks: Watermarks, committed: int | None) -> int:
    """The offset below which everything is done."""
    if committed is None or committed > marks.high:  # an offset of the topic that was here before
        return marks.low
    return max(marks.low, committed)


def unfinished_receipts(settings: Settings) -> int:
    """Objects of all receivers of the storage that are being received or have no event yet."""
    return sum(1 for _ in unfinished(settings.storage))


def outbox_depth(settings: Settings) -> int:
    """Events in the outboxes of this home that were not forwarded yet."""
    depth = 0
    for path in sorted(settings.outbox.parent.glob("*.db")):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
            depth += connection.execute("SELECT COUNT(*) FROM outbox").fetchone()[0]
    return depth
