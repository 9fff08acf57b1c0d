"""The home that is copied from: its files are read, never written."""

import fcntl
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final, Self

from dicom_pipeline.batches import batches
from dicom_pipeline.catalog import Catalog, open_catalog
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log import EventLog, open_event_log
from dicom_pipeline.moving.systems import FILES, System
from dicom_pipeline.schema_state import missing_migrations
from dicom_pipeline.settings import Settings
from dicom_pipeline.sqlite_access import in_our_terms
from dicom_pipeline.storage import unfinished

BATCH_ROWS: Final = 500
BATCH_BYTES: Final = 4 << 20
"""Text and bytes of a batch; one row may hold more."""

Key = str | int
"""A value of a key column."""


class Source:
    """The embedded systems of a home, opened when they are asked for.

    Args:
        settings: the settings of the target; those that name systems and home are replaced.
        home: the folder that the files are in.
    """

    def __init__(self, settings: Settings, home: Path) -> None:
        self.settings = Settings(
            **{
                **settings.model_dump(),
                "dicom_pipeline_home": home,
                **{f"{system.name.lower()}_url": "" for system in System},
                "cache_url": "",
            }
        )
        self.home = self.settings.home
        self._opened = ExitStack()

    def event_log(self) -> EventLog:
        """The event log of this home."""
        return self._opened.enter_context(open_event_log(self.settings))

    def catalog(self) -> Catalog:
        """The catalog of this home."""
        return self._opened.enter_context(open_catalog(self.settings))

    def tables(self, system: System) -> "Tables":
        """The tables of this home's catalog or warehouse.

        Raises:
            ConfigurationError: its schema is not that of this program.
        """
        tables = self._opened.enter_context(Tables(self.home / FILES[system]))
        if missing := missing_migrations(tables.query, "", str(system)):
            raise ConfigurationError(
                f"{self.home / FILES[system]} lacks the migrations {', '.join(missing)}: run "
                f"`dicom-pipeline migrate` with DICOM_PIPELINE_HOME={self.home} and without URLs"
            )
        return tables

    def require_finished_receipts(self) -> None:
        """Check that nothing was acknowledged that the event log does not have yet.

        Raises:
            ConfigurationError: an outbox holds events, or ``incoming`` a file.
        """
        events = sum(
            _count(path, "outbox") for path in sorted(self.settings.outbox.parent.glob("*.db"))
        )
        files = sum(1 for _ in unfinished(self.settings.storage))
        if events or files:
            raise ConfigurationError(
                f"{self.home} holds {events} events in its outboxes and {files} unfinished "
                "receipts, which no queue has: run `up` on it until `status` shows an empty "
                "outbox, stop it, and copy then"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()


class Tables:
    """The tables in one SQLite file, read a batch at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = _read_only(path)

    def query(self, sql: str, parameters: Sequence[Key] = ()) -> list[dict[str, object]]:
        """The rows of a SELECT."""
        with in_our_terms(self._path):
            cursor = self._connection.execute(sql, parameters)
            return [dict(row) for row in cursor]

    def count(self, table: str) -> int:
        """The rows of a table."""
        return int(str(self.query(f"SELECT COUNT(*) AS n FROM {table}")[0]["n"]))  # noqa: S608 - our own names

    def first(self, table: str, columns: Sequence[str]) -> dict[str, object] | None:
        """Any one row; None when there is none."""
        rows = self.query(f"SELECT {', '.join(columns)} FROM {table} LIMIT 1")  # noqa: S608 - our own names
        return rows[0] if rows else None

    def batches(
        self, table: str, columns: Sequence[str], order: Sequence[str], after: Sequence[Key]
    ) -> Iterator[list[dict[str, object]]]:
        """The rows behind the key ``after`` (empty: all), in the order of the key.

        A batch has at most `BATCH_ROWS` rows and little more than `BATCH_BYTES`.
        """
        key = ", ".join(order)
        marks = ", ".join("?" * len(after))
        behind = f" WHERE ({key}) > ({marks})" if after else ""
        sql = f"SELECT {', '.join(columns)} FROM {table}{behind} ORDER BY {key}"  # noqa: S608 - our own names
        with in_our_terms(self._path), closing(self._connection.execute(sql, after)) as cursor:
            yield from batches(map(dict, cursor), BATCH_ROWS, BATCH_BYTES, _size)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


@contextmanager
def hold_receivers(home: Path) -> Iterator[None]:
    """Keep every receiver of the home from starting, by the locks of its outboxes.

    Raises:
        ConfigurationError: one of them runs.
    """
    with ExitStack() as held:
        for path in sorted((home / "outbox").glob("*.lock")):
            lock = held.enter_context(path.open("rb"))
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigurationError(
                    f"the receiver {path.stem} of {home} is running: stop it first, so that "
                    "nothing is received while its queues are copied"
                ) from None
        yield


def _count(path: Path, table: str) -> int:
    with Tables(path) as tables:
        return tables.count(table)


def _read_only(path: Path) -> sqlite3.Connection:
    with in_our_terms(path):
        connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=30)
    connection.row_factory = sqlite3.Row
    return connection


def _size(row: dict[str, object]) -> int:
    return sum(len(value) for value in row.values() if isinstance(value, str | bytes))
