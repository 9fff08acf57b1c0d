"""The copying as a whole: tables, queues, ranges that wait for an operator, verification."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Final, Self

import msgspec

from dicom_pipeline.catalog import AbandonedRange, open_catalog
from dicom_pipeline.errors import ConfigurationError, TransientError
from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.messages import ALL_QUEUES, OffsetRange
from dicom_pipeline.moving.journal import Journal
from dicom_pipeline.moving.pending import Pending, pending
from dicom_pipeline.moving.queues import Logs, arrived, present_position, publish_pending
from dicom_pipeline.moving.source import Source
from dicom_pipeline.moving.systems import System, chosen_url, where
from dicom_pipeline.moving.tables import TableCopy, catalog_tables, warehouse_tables
from dicom_pipeline.moving.verification import TableResult, compare
from dicom_pipeline.schema_state import Query, missing_migrations
from dicom_pipeline.settings import Settings
from dicom_pipeline.streams import Ledger, Limits
from dicom_pipeline.warehouse import open_warehouse

JOURNAL: Final = "copy.json"
"""The journal's name in the source's home."""

Progress = Callable[[str, int, int], None]
"""(what is being done, how much of it is done, how much there is)"""


class QueueResult(msgspec.Struct):
    """What became of one queue's pending messages."""

    queue: str
    pending: int
    arrived: int
    """Messages that the target's queue took meanwhile: as many, or more where a batch was
    repeated or others published, too."""
    changed: bool
    """Whether the source's queue grew while it was copied."""

    @property
    def good(self) -> bool:
        """Whether nothing of the source's queue is left out."""
        return self.arrived >= self.pending and not self.changed


class Report(msgspec.Struct):
    """What the verification found."""

    tables: list[TableResult]
    queues: list[QueueResult]
    gone: list[str]
    """Ranges that wait for an operator whose messages the source's log does not hold."""

    @property
    def good(self) -> bool:
        """Whether the target has everything."""
        return all(one.good for one in self.tables) and all(one.good for one in self.queues)


class Copying:
    """One copying; `run` may be called again after it was interrupted.

    The caller sees to it that nothing runs on the source, and closes it.

    Args:
        settings: choose the target.
        source: the home to copy from.
        systems: what to copy, see `systems.moved_systems`.
        ledgers: the source's sensors' ledgers, by sensor.
        progress: is told how far it is.

    Raises:
        ConfigurationError: the target is not migrated.
        TransientError: a system of the target is away.
    """

    def __init__(
        self,
        settings: Settings,
        source: Source,
        systems: Sequence[System],
        ledgers: Mapping[str, Ledger],
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._source = source
        self._systems = systems
        self._ledgers = ledgers
        self._progress = progress
        self._opened = ExitStack()
        try:
            self._catalog = self._opened.enter_context(open_catalog(settings))
            self._tables = self._open_tables()
            self._logs = self._open_logs()
            self._abandoned = self._all_abandoned()
            self._pending = self._all_pending()
            self._journal = self._open_journal()
        except BaseException:
            self._opened.close()
            raise

    @property
    def resumed(self) -> bool:
        """Whether an earlier copying is gone on with."""
        return self._journal.resumed

    def run(self) -> Report:
        """Copy what is not copied yet, and compare everything.

        Raises:
            TransientError: a system went away; the next call goes on from here.
        """
        self._journal.save()
        for copy in self._tables:
            self._copy_table(copy)
        if self._logs:
            for queue, left in self._pending.items():
                self._copy_queue(queue, left.ranges, self._logs)
        return Report(
            tables=[self._compare(copy) for copy in self._tables],
            queues=self._count_queues(),
            gone=self._gone(),
        )

    def finish(self, report: Report) -> None:
        """Take the source's place, if everything is there. The next copying starts over."""
        if report.good:
            self._hand_over_abandoned()
        self._journal.remove()

    def close(self) -> None:
        """Let go of the target."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _open_tables(self) -> list[TableCopy]:
        tables: list[TableCopy] = []
        if System.CATALOG in self._systems:
            self._require_migrated(System.CATALOG, self._catalog.query)
            source = self._source.tables(System.CATALOG)
            tables += catalog_tables(source, self._catalog)
        if System.WAREHOUSE in self._systems:
            warehouse = self._opened.enter_context(open_warehouse(self._settings))
            self._require_migrated(System.WAREHOUSE, warehouse.query)
            source = self._source.tables(System.WAREHOUSE)
            exact = not chosen_url(self._settings, System.WAREHOUSE)
            tables += warehouse_tables(source, warehouse, exact=exact)
        return tables

    def _require_migrated(self, system: System, query: Query) -> None:
        """A database that is away is another matter: its error passes through."""
        try:
            missing = missing_migrations(query, chosen_url(self._settings, system), system)
        except TransientError as error:
            if "migrate" not in str(error):
                raise
            missing = ["all"]
        if missing:
            raise ConfigurationError(
                f"{where(self._settings, system)} is not migrated ({', '.join(missing)}): run "
                "`dicom-pipeline migrate` first"
            )

    def _open_logs(self) -> Logs | None:
        """The source's and the target's log, when that is moved."""
        if System.EVENT_LOG not in self._systems:
            return None
        if self._source.home != self._settings.home:
            self._source.require_finished_receipts()
        target = self._opened.enter_context(open_event_log(self._settings))
        for queue in ALL_QUEUES:
            present_position(target, queue)
        return Logs(self._source.event_log(), target)

    def _all_abandoned(self) -> list[AbandonedRange]:
        moved = System.CATALOG in self._systems
        catalog = self._source.catalog() if moved else self._catalog
        return catalog.abandoned()

    def _all_pending(self) -> dict[str, Pending]:
        if not self._logs:
            return {}
        limits = Limits.from_settings(self._settings)
        return pending(self._logs.source, self._abandoned, self._ledgers, limits)

    def _open_journal(self) -> Journal:
        return Journal.open(
            self._source.home / JOURNAL,
            {system: where(self._settings, system) for system in self._systems},
            {queue: left.ranges for queue, left in self._pending.items()},
        )

    def _copy_table(self, copy: TableCopy) -> None:
        position = self._journal.table(copy.name)
        total = copy.source.count(copy.columns.name)
        self._progress(copy.name, position.rows, total)
        for batch in copy.source.batches(
            copy.columns.name, copy.columns.names, copy.order, position.after
        ):
            copy.write(batch)
            position.after = copy.key(batch[-1])
            position.rows += len(batch)
            self._journal.save()
            self._progress(copy.name, position.rows, total)

    def _copy_queue(self, queue: str, ranges: Sequence[OffsetRange], logs: Logs) -> None:
        total = sum(map(len, ranges))
        publish_pending(
            queue,
            ranges,
            logs,
            self._journal,
            lambda done: self._progress(queue, done, total),
        )

    def _hand_over_abandoned(self) -> None:
        """What was published again waits for nobody; the rest still waits for an operator."""
        kept = self._abandoned
        if self._logs:
            kept = [one for left in self._pending.values() for one in left.gone]
            for one in self._abandoned:
                if one not in kept:
                    self._catalog.recovered(one.offsets)
        for one in kept:
            self._catalog.abandon(one)

    def _compare(self, copy: TableCopy) -> TableResult:
        total = copy.source.count(copy.columns.name)
        what = f"verify {copy.name}"
        self._progress(what, 0, total)
        return compare(copy, lambda done: self._progress(what, done, total))

    def _count_queues(self) -> list[QueueResult]:
        if not self._logs:
            return []
        now = self._all_pending()
        return [
            QueueResult(
                queue=queue,
                pending=sum(map(len, left.ranges)),
                arrived=arrived(queue, self._logs.target, self._journal),
                changed=now[queue].ranges != left.ranges,
            )
            for queue, left in self._pending.items()
        ]

    def _gone(self) -> list[str]:
        return [str(one.offsets) for left in self._pending.values() for one in left.gone]
