"""The command `copy`: locks, the progress bars, and what was found in the end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from dicom_pipeline.cli.cursors import empty_cursors, read_ledgers
from dicom_pipeline.cli.exits import INCOMPLETE, OK
from dicom_pipeline.cli.screen import screen
from dicom_pipeline.cli.stack_info import exclusive
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.moving import Copying, Report, Source, System, hold_receivers, moved_systems
from dicom_pipeline.settings import Settings

_NEXT: Final = (
    "Everything is there. Start the stack with the same settings; the files of the home stay as "
    "they are, and may be removed once you are content."
)


def run_copy(settings: Settings, from_home: Path | None, only: Sequence[str]) -> int:
    """The command `copy`."""
    home = (from_home or settings.home).absolute()
    systems = moved_systems(settings, home, _systems(only))
    with exclusive(home), hold_receivers(home), Source(settings, home) as source:
        ledgers = read_ledgers(source.settings)
        with _bars() as bars, Copying(settings, source, systems, ledgers, bars) as copying:
            if copying.resumed:
                bars.say("an earlier copying was not finished: going on where it stopped")
            report = copying.run()
            if report.good and System.EVENT_LOG in systems and home == settings.home:
                empty_cursors(settings)
            copying.finish(report)
    _show(report)
    return OK if report.good else INCOMPLETE


def _systems(names: Sequence[str]) -> list[System]:
    unknown = sorted(set(names) - set(System))
    if unknown:
        raise ConfigurationError(
            f"--only {unknown[0]}: there is no such system; choose from {', '.join(System)}"
        )
    return [System(name) for name in names]


class _Bars:
    """A bar for each table and queue."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what, total=total)
        self._progress.update(self._tasks[what], completed=done)

    def say(self, line: str) -> None:
        self._progress.console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def _bars() -> Iterator[_Bars]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console()) as progress:
        yield _Bars(progress)


def _show(report: Report) -> None:
    console = screen()
    if report.tables:
        table = Table("table", title="Rows")
        for name in ("source", "same", "newer", "missing", "older", "different"):
            table.add_column(name, justify="right")
        for one in report.tables:
            figures = (one.rows, one.same, one.newer, one.missing, one.older, one.different)
            colour = "" if one.good else "[bold red]"
            table.add_row(colour + one.table, *map(str, figures))
        console.print(table)
    if report.queues:
        table = Table("queue", title="Messages that no stage has processed")
        for name in ("pending", "arrived", ""):
            table.add_column(name, justify="right")
        for each in report.queues:
            colour = "" if each.good else "[bold red]"
            note = "the source's queue has changed" if each.changed else ""
            table.add_row(colour + each.queue, str(each.pending), str(each.arrived), note)
        console.print(table)
    for offsets in report.gone:
        console.print(
            f"[yellow]{offsets} waits for an operator, and its messages are gone[/]: see "
            "docs/operations.md, Messages that are gone",
            soft_wrap=True,
        )
    if report.good:
        console.print(_NEXT, soft_wrap=True)
    else:
        console.print(
            "[bold red]The target does not have everything[/] (see the red lines). Is something "
            "writing to the source or deleting from the target? Copy again.",
            soft_wrap=True,
        )
