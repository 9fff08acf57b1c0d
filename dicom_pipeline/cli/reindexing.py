"""The command `reindex`: its lock, its progress, and what was found in the end."""

import fcntl
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.cli.exits import INCOMPLETE, OK
from dicom_pipeline.cli.screen import screen
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.messages import FAN_OUT
from dicom_pipeline.reindexing import Counts, Reindexing, Scope
from dicom_pipeline.reindexing.reading import open_pool
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import open_warehouse

_LINE_SECONDS: Final = 10.0
"""Between two lines where there is no terminal."""
_MADE: Final = "SELECT MIN(applied_at) AS made FROM schema_migration"
_LISTED: Final = 10
"""Lines of the list that are shown."""


class Wishes(NamedTuple):
    """How the command goes about it."""

    dry_run: bool = False
    wait: bool = True
    from_start: bool = False
    ahead: int = 100_000
    jobs: int = 0


def run_reindex(settings: Settings, scope: Scope, wishes: Wishes) -> int:
    """The command `reindex`."""
    jobs = wishes.jobs or settings.worker_processes
    with (
        _alone(settings.home),
        open_pool(settings, jobs) as pool,
        open_event_log(settings) as log,
        _shown() as shown,
    ):
        reindexing = Reindexing(settings.storage, scope, pool, log, shown)
        if wishes.dry_run:
            counts = reindexing.look(shown.say)
            return _conclude(counts, None)
        tables = _tables(settings)
        journal = reindexing.open_journal(settings.home, tables, from_start=wishes.from_start)
        if journal.resumed:
            shown.say(f"going on behind {journal.after}; --from-start begins anew")
        counts = reindexing.publish(journal, wishes.ahead)
        journal.remove()
        if wishes.wait and counts.events:
            reindexing.follow()
    code = _conclude(counts, journal.list_path)
    return max(code, _abandoned(settings)) if wishes.wait else code


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One reindexing at a time on a home: they would share a journal."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "reindex.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"another reindex runs on {home}: wait for its end") from None
        yield


class _Shown:
    """A bar at a terminal, a line now and then elsewhere. See `reindexing.Progress`."""

    def __init__(self, bar: Progress | None) -> None:
        self._bar = bar
        self._task: TaskID | None = bar.add_task("reading", total=1.0) if bar else None
        self._began = time.monotonic()
        self._before: int | None = None
        """Files of an earlier call."""
        self._next_line = 0.0

    def say(self, line: str) -> None:
        """A line of its own."""
        if self._bar:
            self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            print(line, flush=True)  # noqa: T201 - for a log: never wrapped

    def read(self, counts: Counts, share: float) -> None:
        """Files were read; about this share of the storage root is done."""
        if self._before is None:
            self._before, self._began = counts.files, time.monotonic()
        rate = (counts.files - self._before) / max(time.monotonic() - self._began, 0.001)
        bad = counts.damaged + sum(counts.left_out.values())
        self._tell(
            f"{counts.files:,} files, {counts.events:,} events, {bad:,} to look at, {rate:,.0f}/s",
            share,
        )

    def waiting(self, why: str) -> None:
        """Nothing is published now, for this reason."""
        self._tell(f"waiting: {why}", None)

    def left(self, messages: int) -> None:
        """All is published; the stages have so much of it to do."""
        self._tell(f"all is queued; the stages have {messages:,} messages to do", 1.0)

    def _tell(self, text: str, share: float | None) -> None:
        if self._bar and self._task is not None:
            self._bar.update(self._task, description=text, completed=share)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + _LINE_SECONDS
            percent = "" if share is None else f", {share:.0%}"
            self.say(f"{text}{percent}")


@contextmanager
def _shown() -> Iterator[_Shown]:
    if not sys.stdout.isatty():
        yield _Shown(None)
        return
    columns = (
        BarColumn(20),
        TextColumn("{task.percentage:3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console()) as progress:
        yield _Shown(progress)


def _conclude(counts: Counts, listed: Path | None) -> int:
    console = screen()
    what = "have an event" if listed is None else "were published again"
    lines = [f"{counts.events:,} of {counts.files:,} files {what} ({counts.bytes:,} bytes)"]
    if counts.earlier:
        lines.append(f"{counts.earlier:,} were received before --since")
    if counts.adopted:
        lines.append(f"{counts.adopted:,} without a receipt were adopted")
    lines += [f"[red]{number:,} left out[/]: {code}" for code, number in counts.left_out.items()]
    if counts.damaged:
        lines.append(f"[red]{counts.damaged:,} damaged[/]: their events say so")
    if listed and not counts.good:
        lines.append(f"All of these are listed in {listed}, for example:")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True)
    if listed and not counts.good:
        _quote(listed)
    return OK if counts.good else INCOMPLETE


def _quote(listed: Path) -> None:
    with listed.open(encoding="utf-8") as file:
        for line, _ in zip(file, range(_LISTED), strict=False):
            print(line.rstrip("\n"))  # noqa: T201 - a list: never wrapped


def _tables(settings: Settings) -> dict[str, str]:
    """By database, when its tables were made.

    Raises:
        TransientError: one is away, or was never migrated.
    """
    with open_catalog(settings) as catalog, open_warehouse(settings) as warehouse:
        return {
            "catalog": str(catalog.query(_MADE)[0]["made"]),
            "warehouse": str(warehouse.query(_MADE)[0]["made"]),
        }


def _abandoned(settings: Settings) -> int:
    """Whether some of it waits for a person."""
    with open_catalog(settings) as catalog:
        ranges = [one for queue in FAN_OUT for one in catalog.abandoned(queue)]
    if not ranges:
        return OK
    screen().print(
        f"[red]{len(ranges)} ranges wait for an operator[/]: see `dicom-pipeline status`",
        highlight=False,
    )
    return INCOMPLETE
