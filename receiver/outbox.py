"""The outbox: events that are durable here until the event log has them.

A local SQLite file, one per receiver process. One writer thread commits for all associations, so
that receipts which come at the same time share a sync of the disk. The file also keeps the last
version of the receiver's clock.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.errors import ConfigurationError, TransientError
from dicom_pipeline.messages import Event, encode
from dicom_pipeline.sqlite_access import insert_rows
from dicom_pipeline.storage import make_directories
from receiver.commitment import records
from receiver.failures import described
from receiver.locking import acquire
from receiver.readiness import free_bytes

logger = logging.getLogger(__name__)

_BATCH: Final = 512
_BUSY_SECONDS: Final = 10
_ADD_SECONDS: Final = 60.0
"""No receipt waits longer for its commit: the sender is told to come again."""
_PROBE_SECONDS: Final = 2.0
_ROOM_BYTES: Final = 4 << 20
"""The log that SQLite writes before it goes back to its beginning."""
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


class OutboxInUseError(ConfigurationError):
    """Another process holds the outbox."""


class Entry(NamedTuple):
    """An event that waits to be published."""

    id: int
    added_at: float
    """Seconds since the epoch."""
    topics: tuple[str, ...]
    key: str
    value: bytes


class Depth(NamedTuple):
    """How much waits, and for how long the oldest has (seconds)."""

    events: int
    age: float


class _Row(NamedTuple):
    added_at: float
    topics: str
    key: str
    value: bytes


class _Add(NamedTuple):
    rows: list[_Row]
    placements: Sequence[records.Placement]
    version: int
    """The clock has come at least this far."""
    done: "Future[None]"


class _Forget(NamedTuple):
    up_to: int


_STOP: Final = None


class Outbox:
    """One receiver process's outbox. `add` may be called from any thread."""

    def __init__(self, path: Path, wait_seconds: float = 0) -> None:
        """Open or create the outbox; ``wait_seconds``: how long another process may still hold it.

        Raises:
            OutboxInUseError: another process uses it.
            ConfigurationError: the file cannot be opened.
        """
        self.path = path
        make_directories(path.parent)
        self._lock_file = path.with_suffix(".lock").open("w")
        try:
            acquire(self._lock_file, wait_seconds)
        except OSError as error:
            self._lock_file.close()
            raise OutboxInUseError(
                f"outbox {path} belongs to another running receiver: give this one another "
                "WORKER_NODE_ID, or stop the other"
            ) from error
        try:
            self._connection = self._connect()
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.executescript(_SCHEMA + records.SCHEMA)
        except sqlite3.Error as error:
            self._lock_file.close()
            raise ConfigurationError(f"outbox {path} cannot be opened: {error}") from error
        self._requests: queue.SimpleQueue[_Add | _Forget | None] = queue.SimpleQueue()
        self._added = threading.Event()
        self._refusal = ""
        """Why nothing can be added any more; empty while it can."""
        self._refusing = threading.Lock()
        self._writer = threading.Thread(target=self._write, name="outbox", daemon=True)
        self._writer.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def add(self, events: Sequence[Event]) -> None:
        """Return once the events are durable, all of them in one commit.

        Raises:
            OutboxError: they may not be: the disk is full, broken or too slow, or the outbox takes
                nothing any more.
        """
        if not events:
            return
        now = time.time()
        self._add(
            [_Row(now, " ".join(event.topics()), event.key, encode(event)) for event in events],
            max(event.version for event in events),
            placements=[records.Placement(event.file_path, event.version) for event in events],
        )

    def _add(
        self,
        rows: list[_Row],
        version: int,
        *,
        placements: Sequence[records.Placement] = (),
        seconds: float | None = None,
    ) -> None:
        seconds = _ADD_SECONDS if seconds is None else seconds
        done: Future[None] = Future()
        with self._refusing:
            if self._refusal:
                raise OutboxError(f"outbox {self.path} {self._refusal}")
            self._requests.put(_Add(rows, placements, version, done))
        try:
            done.result(seconds)
        except TimeoutError as error:
            raise OutboxError(f"outbox {self.path}: no commit in {seconds:.0f} s") from error

    def take_over(self, other: "Outbox") -> int:
        """Move the events of another outbox here, and its clock; returns how many they were.

        Each is durable here before it is deleted there: after a crash some may be in both.

        Raises:
            OutboxError: some may not have been moved.
        """
        version = other.last_version()
        self._add([], version)
        moved = after = 0
        while entries := other.entries(after, _BATCH):
            self._add(
                [
                    _Row(each.added_at, " ".join(each.topics), each.key, each.value)
                    for each in entries
                ],
                version,
            )
            moved, after = moved + len(entries), entries[-1].id
            other.forget(after)
        return moved

    def forget(self, up_to: int) -> None:
        """Delete entries that are published, with the next commit: ids up to ``up_to``."""
        self._requests.put(_Forget(up_to))

    def entries(self, after: int, limit: int) -> list[Entry]:
        """The next entries behind id ``after``, oldest first."""
        with closing(self._connect()) as connection:
            rows = connection.execute(
                "SELECT id, added_at, topics, key, value FROM outbox "
                "WHERE id > ? ORDER BY id LIMIT ?",
                (after, limit),
            ).fetchall()
        return [
            Entry(number, added_at, tuple(topics.split()), key, value)
            for number, added_at, topics, key, value in rows
        ]

    def wait(self, seconds: float) -> None:
        """Sleep until an event is added, at most ``seconds``."""
        if self._added.wait(seconds):
            self._added.clear()

    def wake(self) -> None:
        """Let `wait` return."""
        self._added.set()

    def depth(self) -> Depth:
        """How many events wait, and for how long. The oldest leave first, so ids tell it."""
        with closing(self._connect()) as connection:
            oldest = connection.execute(
                "SELECT (SELECT max(id) FROM outbox) - id + 1, added_at "
                "FROM outbox ORDER BY id LIMIT 1"
            ).fetchone()
        if oldest is None:
            return Depth(0, 0.0)
        return Depth(oldest[0], max(0.0, time.time() - oldest[1]))

    def alive(self) -> bool:
        """Whether events can be added: a writer that has ended does not come back."""
        return self._writer.is_alive()

    def probe(self) -> None:
        """Make a commit without an event: one with events needs more room.

        Raises:
            OutboxError: it could not be made, or takes long, or there is little room for others.
        """
        free = free_bytes(self.path.parent)
        if free < _ROOM_BYTES:
            raise OutboxError(f"outbox {self.path}: {free} bytes are free on its disk")
        self._add([], 0, seconds=_PROBE_SECONDS)

    def last_version(self) -> int:
        """The greatest version of any event ever added: where the clock goes on from."""
        with closing(self._connect()) as connection:
            (version,) = connection.execute("SELECT last_version FROM clock").fetchone()
        return int(version)

    def forget_records(self, day: int) -> None:
        """Delete the records of objects last received before ``day`` (since the epoch)."""
        after: str | None = ""
        with closing(self._connect()) as connection:
            while after is not None:
                connection.execute("BEGIN IMMEDIATE")
                after = records.forget_older(connection, day, after)
                connection.execute("COMMIT")

    def close(self) -> None:
        """Commit what was added and release the file."""
        with self._refusing:
            self._refusal = self._refusal or "is closed"
            self._requests.put(_STOP)
        self._writer.join()
        self._lock_file.close()

    def _write(self) -> None:
        """The writer thread: everything that waits goes into one commit."""
        batch: list[_Add | _Forget | None] = []
        try:
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
        except BaseException as error:  # noqa: BLE001 - nobody waits for this thread
            logger.critical(
                "outbox writer has ended: every object is refused until the receiver is restarted",
                extra={"outbox": str(self.path), **described(error)},
            )
        finally:
            self._refuse_all(batch)

    def _refuse_all(self, batch: list[_Add | _Forget | None]) -> None:
        """Nothing may wait for a commit that does not come."""
        with self._refusing:
            self._refusal = self._refusal or "has lost its writer: restart the receiver"
        while not self._requests.empty():
            batch.append(self._requests.get())
        for request in batch:
            if isinstance(request, _Add) and not request.done.done():
                request.done.set_exception(OutboxError(f"outbox {self.path} {self._refusal}"))

    def _commit(self, connection: sqlite3.Connection, adds: list[_Add], forget: int) -> None:
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")  # it failed after the last commit had failed
            connection.execute("BEGIN IMMEDIATE")
            insert_rows(
                connection,
                "INSERT INTO outbox (added_at, topics, key, value)",
                [row for each in adds for row in each.rows],
            )
            records.insert(connection, [place for each in adds for place in each.placements])
            if forget:
                connection.execute("DELETE FROM outbox WHERE id <= ?", (forget,))
            if adds:
                connection.execute(
                    "UPDATE clock SET last_version = max(last_version, ?)",
                    (max(each.version for each in adds),),
                )
            connection.execute("COMMIT")
        except BaseException as error:
            for each in adds:
                failure = OutboxError(f"outbox {self.path}: no commit ({type(error).__name__})")
                failure.__cause__ = error
                each.done.set_exception(failure)
            logger.error(  # noqa: TRY400 - a traceback may quote values
                "outbox commit failed", extra={"requests": len(adds), **described(error)}
            )
            with suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            if not isinstance(error, Exception):
                raise
            return
        for each in adds:
            each.done.set_result(None)
        if adds:
            self._added.set()
