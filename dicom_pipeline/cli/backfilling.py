"""The command `backfill`: what would be sent, the progress bar, and what became of it."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import sleep
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from dicom_pipeline.backfill.candidates import Disposition, ready
from dicom_pipeline.backfill.following import Marks, Outcomes, follow, marks
from dicom_pipeline.backfill.report import Report, preview, run
from dicom_pipeline.backfill.selection import Selection
from dicom_pipeline.backfill.sending import SENT
from dicom_pipeline.cli.exits import INCOMPLETE, OK
from dicom_pipeline.cli.screen import screen
from dicom_pipeline.clock import trace_id_for, wall_clock_us
from dicom_pipeline.errors import TransientError
from dicom_pipeline.event_log import EventLog, open_event_log
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import Warehouse, open_warehouse

_LOOK_SECONDS: Final = 1.0
_MEANINGS: Final = {
    SENT: "sent",
    Disposition.READY: "can be sent",
    Disposition.SUPERSEDED: "received again with other bytes",
    Disposition.NO_RECEIPT: "no row in dicom_object_meta",
    Disposition.QUEUED: "sent before, not decided",
    Disposition.EXHAUSTED: "no attempts left",
    Disposition.NOT_DUE: "not due yet",
}


def run_backfill(settings: Settings, selection: Selection, *, dry_run: bool, wait: bool) -> int:
    """The command `backfill`."""
    now = wall_clock_us()
    with open_event_log(settings) as log, open_warehouse(settings) as warehouse:
        if dry_run:
            _show(preview(warehouse, selection, now))
            _name(warehouse, selection, now)
            return OK
        backfill_id = trace_id_for(now)
        report = run(log, warehouse, selection, backfill_id, now)
        behind = marks(log)
        _show(report)
        sent = report.number(SENT)
        if not sent or not wait:
            return OK
        outcomes = _follow(log, warehouse, backfill_id, behind, sent)
    return _conclude(outcomes, sent)


def _follow(
    log: EventLog, warehouse: Warehouse, backfill_id: str, behind: Marks, sent: int
) -> Outcomes:
    """Look until every object is decided, or the stage has passed them all."""
    with _bar(sent) as bar:
        while True:
            with suppress(TransientError):  # a system that is away comes back
                outcomes = follow(log, warehouse, backfill_id, behind)
                bar.update(bar.task_ids[0], completed=outcomes.decided)
                if outcomes.passed or outcomes.decided >= sent:
                    return outcomes
            sleep(_LOOK_SECONDS)


@contextmanager
def _bar(total: int) -> Iterator[Progress]:
    columns = (TextColumn("decided"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console()) as progress:
        progress.add_task("decided", total=total)
        yield progress


def _show(report: Report) -> None:
    console = screen()
    if not report.counts:
        console.print("no failed conversion passes these filters")
        return
    table = Table("what", "error code", "transfer syntax", title="Failed conversions")
    table.add_column("objects", justify="right")
    for one in report.counts:
        meaning = _MEANINGS[one.disposition]
        table.add_row(meaning, one.error_code, one.transfer_syntax_uid, str(one.number))
    console.print(table)


def _name(warehouse: Warehouse, selection: Selection, now: int) -> None:
    """One line for each object that would be sent, for people and for `grep`."""
    for page in ready(warehouse, selection, now):
        for one in page:
            event = one.event
            print(  # noqa: T201 - a list, not a table: never wrapped
                event.tenant_id,
                event.sop_uid,
                one.error_code,
                event.transfer_syntax_uid,
                f"attempt={event.attempt}",
            )


def _conclude(outcomes: Outcomes, sent: int) -> int:
    console = screen()
    console.print(f"[green]{outcomes.recovered} of {sent} recovered[/]", highlight=False)
    for code, number in sorted(outcomes.failed.items()):
        console.print(f"[red]{number} failed again[/]: {code}", highlight=False)
    silent = sent - outcomes.decided
    if silent > 0:
        console.print(
            f"[yellow]{silent} without a word[/]: their files are gone, or their range waits for "
            "an operator; see `dicom-pipeline status`, then repeat with --again",
            soft_wrap=True,
            highlight=False,
        )
    return OK if outcomes.recovered >= sent else INCOMPLETE
