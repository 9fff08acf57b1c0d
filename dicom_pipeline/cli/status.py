"""How far everything is: lag, what the stages have done, what failed, and the receiver."""

import os
from collections.abc import Mapping
from typing import Final

import msgspec
from rich.table import Table

from dicom_pipeline.catalog import AbandonedRange, Catalog, open_catalog
from dicom_pipeline.cli.cursors import read_ledgers
from dicom_pipeline.cli.exits import OK
from dicom_pipeline.cli.network import answers
from dicom_pipeline.cli.progress import outbox_depth
from dicom_pipeline.cli.screen import screen
from dicom_pipeline.event_log import EventLog, open_event_log
from dicom_pipeline.lag import consumed_figures, queue_figures
from dicom_pipeline.messages import DEAD_LETTER_QUEUE
from dicom_pipeline.routine_load import feeds_the_table
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import OBJECT_META, STAGES, Stage
from dicom_pipeline.streams import Ledger, Outstanding
from dicom_pipeline.warehouse import Warehouse, open_warehouse

_COUNTS: Final = {
    "storage": "SELECT 'files' AS what, COUNT(*) AS n FROM storage_record",
    "index": "SELECT 'objects' AS what, COUNT(*) AS n FROM instance",
    "renditions": "SELECT action AS what, COUNT(*) AS n FROM rendition GROUP BY action",
    "manifests": (
        "SELECT CASE WHEN due > '' THEN 'due' ELSE 'written' END AS what, COUNT(*) AS n "
        "FROM study_manifest GROUP BY CASE WHEN due > '' THEN 'due' ELSE 'written' END"
    ),
}
"""Catalog queries: what each stage has done."""

RECEIPTS: Final = (
    "SELECT transfer_status AS what, COUNT(*) AS n FROM dicom_object_meta GROUP BY transfer_status"
)
FAILURES: Final = (
    "SELECT error_code AS what, COUNT(*) AS n FROM dicom_conversion_record "
    "WHERE state = 'failed' GROUP BY error_code"
)


class AbandonedStatus(msgspec.Struct):
    """A range that waits for an operator."""

    range: str
    attempts: int
    reason: str


class QueueStatus(msgspec.Struct, kw_only=True):
    """One queue and its consumer."""

    queue: str
    stage: str
    lag_messages: int
    """Not processed yet: unplanned, running, waiting for another attempt, or abandoned."""
    lag_seconds: float
    """Age of the oldest message that is not processed; abandoned ones left out."""
    outstanding: list[Outstanding]
    abandoned: list[AbandonedStatus]


class ReceiverStatus(msgspec.Struct, kw_only=True):
    """The receiver of this home."""

    running: bool
    ae_title: str = ""
    host: str = ""
    port: int = 0
    http_port: int | None = None
    """Where it tells metrics, health and readiness; None: nowhere."""
    outbox_events: int = 0
    """Receipts that the event log does not have yet."""


class Status(msgspec.Struct, kw_only=True):
    """Everything that `status` shows."""

    receiver: ReceiverStatus
    queues: list[QueueStatus]
    counts: dict[str, dict[str, int]]
    """What each stage has done, from the tables."""
    failures: dict[str, int]
    """Objects that cannot be shown, by error code."""
    dead_letters: int


def read_status(settings: Settings) -> Status:
    """Look at everything.

    Raises:
        TransientError: a system is away.
    """
    receiver = read_receiver(settings)
    ledgers = read_ledgers(settings)
    with (
        open_event_log(settings) as log,
        open_catalog(settings) as catalog,
        open_warehouse(settings) as warehouse,
    ):
        queues = queue_statuses(settings, log, catalog, ledgers)
        letters = sum(high - low for low, high in log.watermarks(DEAD_LETTER_QUEUE).values())
        return Status(
            receiver=receiver,
            queues=queues,
            counts=_counts(catalog, warehouse),
            failures=_numbers(warehouse.query(FAILURES)),
            dead_letters=letters,
        )


def queue_statuses(
    settings: Settings, log: EventLog, catalog: Catalog, ledgers: Mapping[str, Ledger]
) -> list[QueueStatus]:
    """How far each stage is; ``ledgers``: by the names of the sensors."""
    return [
        consumed_status(stage, log, catalog)
        if stage == OBJECT_META and feeds_the_table(settings)
        else queue_status(stage, log, catalog, ledgers.get(stage.sensor_name, Ledger()))
        for stage in STAGES
    ]


def queue_status(stage: Stage, log: EventLog, catalog: Catalog, ledger: Ledger) -> QueueStatus:
    """How far one stage is with its queue."""
    if ledger.topic_id != log.topic_id(stage.queue):
        ledger = Ledger(topic_id=log.topic_id(stage.queue))
    figures = queue_figures(stage, log, catalog, ledger)
    return QueueStatus(
        queue=stage.queue,
        stage=stage.name,
        lag_messages=figures.lag_messages,
        lag_seconds=figures.lag_seconds,
        outstanding=ledger.outstanding,
        abandoned=[_abandoned(one) for one in catalog.abandoned(stage.queue)],
    )


def consumed_status(stage: Stage, log: EventLog, catalog: Catalog) -> QueueStatus:
    """How far Doris' routine load is with the stage's queue, which it reads in its place."""
    figures = consumed_figures(stage, log)
    return QueueStatus(
        queue=stage.queue,
        stage=stage.name,
        lag_messages=figures.lag_messages,
        lag_seconds=figures.lag_seconds,
        outstanding=[],
        abandoned=[_abandoned(one) for one in catalog.abandoned(stage.queue)],
    )


def _abandoned(one: AbandonedRange) -> AbandonedStatus:
    return AbandonedStatus(str(one.offsets), one.attempts, one.reason)


def _counts(catalog: Catalog, warehouse: Warehouse) -> dict[str, dict[str, int]]:
    counts = {stage: _numbers(catalog.query(sql)) for stage, sql in _COUNTS.items()}
    return {**counts, "object_meta": _numbers(warehouse.query(RECEIPTS))}


def _numbers(rows: list[dict[str, object]]) -> dict[str, int]:
    return {str(row["what"]): int(str(row["n"])) for row in rows}


def read_receiver(settings: Settings) -> ReceiverStatus:
    """What the receiver of this home says of itself, and whether it is true."""
    events = outbox_depth(settings)
    try:
        here = msgspec.json.decode((settings.home / "receiver.json").read_bytes())
    except FileNotFoundError:
        return ReceiverStatus(running=False, outbox_events=events)
    return ReceiverStatus(
        running=_alive(here["pid"]) and answers(here["host"], here["port"]),
        ae_title=here["ae_title"],
        host=here["host"],
        port=here["port"],
        http_port=here.get("http_port"),
        outbox_events=events,
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def run_status(settings: Settings, *, as_json: bool, prometheus: bool = False) -> int:
    """The command `status`."""
    status = read_status(settings)
    console = screen()
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(status)).decode())  # noqa: T201
        return OK
    if prometheus:
        from dicom_pipeline.cli.exposition import exposition  # noqa: PLC0415 - it imports us

        print(exposition(status), end="")  # noqa: T201
        return OK
    console.print(_receiver_line(status))
    console.print(_queue_table(status))
    console.print(_count_table(status))
    for queue in status.queues:
        for one in queue.abandoned:
            console.print(
                f"[red]abandoned[/] {one.range} after {one.attempts} attempts: {one.reason}; "
                "mend the cause and re-execute its last run in the UI",
                soft_wrap=True,
            )
    return OK


def _receiver_line(status: Status) -> str:
    receiver = status.receiver
    state = (
        f"[green]listening[/] as {receiver.ae_title} at {receiver.host}:{receiver.port}"
        if receiver.running
        else "[yellow]not running[/]"
    )
    return f"receiver {state}; {receiver.outbox_events} events in the outbox"


def _queue_table(status: Status) -> Table:
    table = Table(title="Queues")
    table.add_column("queue", no_wrap=True)
    table.add_column("stage", no_wrap=True)
    for name in ("lag", "seconds", "ranges", "attempts", "abandoned"):
        table.add_column(name, justify="right")
    for one in status.queues:
        attempts = max((range_.attempt for range_ in one.outstanding), default=0)
        table.add_row(
            one.queue,
            one.stage,
            str(one.lag_messages),
            f"{one.lag_seconds:.1f}",
            str(len(one.outstanding)),
            str(attempts or ""),
            str(len(one.abandoned) or ""),
        )
    table.add_row(DEAD_LETTER_QUEUE, "", str(status.dead_letters))
    return table


def _count_table(status: Status) -> Table:
    table = Table("stage", "what", title="Done so far")
    table.add_column("count", justify="right")
    for stage, counts in status.counts.items():
        for what, count in counts.items():
            table.add_row(stage, what, str(count))
    for code, count in status.failures.items():
        table.add_row("failed", f"[red]{code}[/]", str(count))
    return table
