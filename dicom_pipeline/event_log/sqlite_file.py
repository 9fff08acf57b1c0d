"""A SQLite file that threads and processes share: connections, transactions, errors."""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Final

from dicom_pipeline.errors import ConfigurationError, PipelineError
from dicom_pipeline.sqlite_access import explained, switch_to_wal

BUSY_SECONDS: Final = 30.0
"""How long a call waits for another writer before it raises `TransientError`."""


class SqliteFile:
    """One file in WAL mode, on a local disk, whose commits wait for the disk.

    Threads may share an instance: each gets a connection of its own. Processes open their own
    instance; one must not be carried over a fork.

    Args:
        path: the file; its folder is made.
        name: what errors call it, e.g. ``event log``.
        schema: the statements that create the schema in a new file.
        upgrades: those that lead from each version of the schema to the next one, from version 1
            (``user_version``) to that of ``schema``.
        busy_seconds: how long to wait for another writer.

    Raises:
        ConfigurationError: the parent folder cannot be made, or a newer version wrote the file.
        PermanentError: the file is no SQLite database, or it is damaged.
        TransientError: the file cannot be opened now.
    """

    def __init__(
        self,
        path: Path,
        name: str,
        schema: Sequence[str],
        upgrades: Sequence[Sequence[str]],
        *,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self.path = path
        self._name = name
        self._busy_seconds = busy_seconds
        self._local = threading.local()
        self._connections: list[tuple[threading.Thread, sqlite3.Connection]] = []
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"{self}: cannot make its folder: {error}; choose another home folder"
            ) from error
        try:
            self._create(schema, upgrades)
        except BaseException:
            self.close()
            raise

    def __str__(self) -> str:
        return f"{self._name} {self.path}"

    def close(self) -> None:
        """Close the connections of all threads; they must have stopped using the file."""
        with self._lock:
            for _, connection in self._connections:
                connection.close()
            self._connections.clear()
            self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection, in autocommit mode."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self.path,
                timeout=self._busy_seconds,
                isolation_level=None,
                check_same_thread=False,  # `close` may be called by any thread
            )
            with self._lock:
                # Threads come and go in a long-lived process; their connections go with them.
                ended = [pair for pair in self._connections if not pair[0].is_alive()]
                for pair in ended:
                    pair[1].close()
                    self._connections.remove(pair)
                self._connections.append((threading.current_thread(), connection))
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("PRAGMA synchronous = FULL")  # a commit survives a power cut
            self._local.connection = connection
        return connection

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """One consistent view of the file."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock from its start, so that it cannot deadlock."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        try:
            connection = self._connection()
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                connection.rollback()
                raise
        except sqlite3.Error as error:
            raise self._explained(error) from error

    def _create(self, schema: Sequence[str], upgrades: Sequence[Sequence[str]]) -> None:
        version = 1 + len(upgrades)
        try:
            switch_to_wal(self._connection(), self._busy_seconds)
        except sqlite3.Error as error:
            raise self._explained(error) from error
        with self.reading() as connection:
            found = _schema_version(connection)
        if found < version:
            with self.writing() as connection:
                found = _schema_version(connection)
                if found < version:  # no other process was first
                    for statement in chain(*upgrades[found - 1 :]) if found else schema:
                        connection.execute(statement)
                    connection.execute(f"PRAGMA user_version = {version}")
        elif found > version:
            raise ConfigurationError(
                f"{self} has schema {found}, this version knows "
                f"{version}: run the version that wrote it, or a newer one"
            )

    def _explained(self, error: sqlite3.Error) -> PipelineError | sqlite3.Error:
        """The error with file and remedy; a programming error stays as it is."""
        return explained(error, str(self)) or error


def _schema_version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
