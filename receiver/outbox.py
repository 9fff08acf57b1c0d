"""The outbox: events that are durable here until the event log has them.

A local SQLite file, one per receiver process. One writer thread commits for all associations, so
that receipts which come at the same time share a sync of the disk. The file also keeps the last
version of the receiver's clock.
"""

import fcntl
import logging
import queue
import sqlite3
import threading
import time
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.errors import ConfigurationError, TransientError
from dicom_pipeline.messages import Event, encode
from dicom_pipeline.storage import make_directories

logger = logging.getLogger(__name__)

_BATCH: Final = 512
_BUSY_SECONDS: Final = 10
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    added_at REAL NOT NULL,
    topics TEXT NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS clock (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    last_version INTEGER NOT NULL
);
INSERT OR IGNORE INTO clock VALUES (1, 0);
"""


class OutboxError(TransientError):
    """The outbox could not make an event durable."""


class Entry(NamedTuple):
    """An event that waits to be published."""

    id: int
    topics: tuple[str, ...]
    key: str
    value: bytes


class Depth(NamedTuple):
    """How much waits, and for how long the oldest has (seconds)."""

    events: int
    age: float


class _Add(NamedTuple):
    event: Event
    done: "Future[None]"


class _Forget(NamedTuple):
    up_to: int


_STOP: Final = None


class Outbox:
    """One receiver process's outbox. `add` may be called from any thread."""

    def __init__(self, path: Path) -> None:
        """Open or create the outbox.

        Raises:
            ConfigurationError: another process uses it, or the file cannot be opened.
        """
        self.path = path
        make_directories(path.parent)
        self._lock_file = path.with_suffix(".lock").open("w")
        try:
            fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock_file.close()
            raise ConfigurationError(
                f"outbox {path} belongs to another running receiver: give this one another "
                "WORKER_NODE_ID, or stop the other"
            ) from error
        try:
            self._connection = self._connect()
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            self._lock_file.close()
            raise ConfigurationError(f"outbox {path} cannot be opened: {error}") from error
        self._requests: queue.SimpleQueue[_Add | _Forget | None] = queue.SimpleQueue()
        self._added = threading.Event()
        self._closed = False
        self._closing = threading.Lock()
        self._writer = threading.Thread(target=self._write, name="outbox", daemon=True)
        self._writer.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def add(self, event: Event) -> None:
        """Return once the event is durable.

        Raises:
            OutboxError: it is not: the disk is full or broken, or the outbox is closed.
        """
        done: Future[None] = Future()
        with self._closing:
            if self._closed:
                raise OutboxError(f"outbox {self.path} is closed")
            self._requests.put(_Add(event, done))
        done.result()

    def forget(self, up_to: int) -> None:
        """Delete entries that are published, with the next commit: ids up to ``up_to``."""
        self._requests.put(_Forget(up_to))

    def entries(self, after: int, limit: int) -> list[Entry]:
        """The next entries behind id ``after``, oldest first."""
        with closing(self._connect()) as connection:
            rows = connection.execute(
                "SELECT id, topics, key, value FROM outbox WHERE id > ? ORDER BY id LIMIT ?",
                (after, limit),
            ).fetchall()
        return [
            Entry(number, tuple(topics.split()), key, value) for number, topics, key, value in rows
        ]

    def wait(self, seconds: float) -> None:
        """Sleep until an event is added, at most ``seconds``."""
        if self._added.wait(seconds):
            self._added.clear()

    def wake(self) -> None:
        """Let `wait` return."""
        self._added.set()

    def depth(self) -> Depth:
        """How many events wait, and for how long."""
        with closing(self._connect()) as connection:
            count, oldest = connection.execute(
                "SELECT count(*), min(added_at) FROM outbox"
            ).fetchone()
        return Depth(count, max(0.0, time.time() - oldest) if count else 0.0)

    def last_version(self) -> int:
        """The greatest version of any event ever added: where the clock goes on from."""
        with closing(self._connect()) as connection:
            (version,) = connection.execute("SELECT last_version FROM clock").fetchone()
        return int(version)

    def close(self) -> None:
        """Commit what was added and release the file."""
        with self._closing:
            if self._closed:
                return
            self._closed = True
            self._requests.put(_STOP)
        self._writer.join()
        self._lock_file.close()

    def _write(self) -> None:
        """The writer thread: everything that waits goes into one commit."""
        with closing(self._connection) as connection:
            stopping = False
            while not stopping:
                batch = [self._requests.get()]
                while len(batch) < _BATCH and not self._requests.empty():
                    batch.append(self._requests.get())
                stopping = _STOP in batch
                self._commit(
                    connection,
                    [request for request in batch if isinstance(request, _Add)],
                    max((each.up_to for each in batch if isinstance(each, _Forget)), default=0),
                )

    def _commit(self, connection: sqlite3.Connection, adds: list[_Add], forget: int) -> None:
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(
                "INSERT INTO outbox (added_at, topics, key, value) VALUES (?, ?, ?, ?)",
                [
                    (time.time(), " ".join(event.topics()), event.key, encode(event))
                    for event, _ in adds
                ],
            )
            if forget:
                connection.execute("DELETE FROM outbox WHERE id <= ?", (forget,))
            if adds:
                connection.execute(
                    "UPDATE clock SET last_version = max(last_version, ?)",
                    (max(event.version for event, _ in adds),),
                )
            connection.execute("COMMIT")
        except Exception as error:
            logger.exception("outbox commit failed", extra={"events": len(adds)})
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            for _, done in adds:
                failure = OutboxError(f"outbox {self.path}: {error}")
                failure.__cause__ = error
                done.set_exception(failure)
            return
        for _, done in adds:
            done.set_result(None)
        if adds:
            self._added.set()
