"""Storage commitment transactions that wait for their report: durable, one SQLite file per node."""

import fcntl
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from dicom_pipeline.errors import ConfigurationError, PipelineError
from dicom_pipeline.sqlite_access import switch_to_wal
from dicom_pipeline.storage import make_directories
from receiver.commitment.requests import ActionStatus, Reference, RefusedError, Request
from receiver.failures import described

logger = logging.getLogger(__name__)

MAX_WAITING: Final = 10_000
MAX_WAITING_BYTES: Final = 256 << 20
_BUSY_SECONDS: Final = 10
_LOCK_POLL_SECONDS: Final = 0.05
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS transactions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant_id TEXT NOT NULL,
    calling_ae TEXT NOT NULL,
    called_ae TEXT NOT NULL,
    source_ip TEXT NOT NULL,
    transaction_uid TEXT NOT NULL,
    requested_us INTEGER NOT NULL,
    instances BLOB NOT NULL,
    outcome BLOB,
    UNIQUE (tenant_id, calling_ae, called_ae, transaction_uid, instances)
);
"""
_COLUMNS: Final = "tenant_id, calling_ae, called_ae, source_ip, transaction_uid, requested_us"
_ALL_COLUMNS: Final = f"{_COLUMNS}, instances, outcome"


class TransactionsInUseError(ConfigurationError):
    """Another process holds the file."""


class FailureReason(IntEnum):
    """Why an object is not committed to (FailureReason (0008,1197), PS3.3 C.14.1.1)."""

    PROCESSING_FAILURE = 0x0110
    NO_SUCH_OBJECT = 0x0112
    CLASS_CONFLICT = 0x0119
    DUPLICATE_TRANSACTION = 0x0131


class Requester(NamedTuple):
    """Who asked, and where the report has to go."""

    tenant_id: str
    calling_ae: str
    called_ae: str
    source_ip: str


class Transaction(NamedTuple):
    """One request whose report is not delivered yet."""

    id: int
    requester: Requester
    transaction_uid: str
    requested_us: int
    """µs since the epoch."""


class Outcome(NamedTuple):
    """What the report says; good and failed together are all that was asked for."""

    good: tuple[Reference, ...]
    failed: tuple[tuple[Reference, FailureReason], ...]


class Waiting(NamedTuple):
    """How many transactions have no report yet, and the age of the oldest in seconds."""

    transactions: int
    age: float


class Transactions:
    """The transactions of one node. Its methods may be called from any thread."""

    def __init__(self, path: Path, wait_seconds: float = 0) -> None:
        """Open or create the file; ``wait_seconds``: how long another process may still hold it.

        Raises:
            TransactionsInUseError: another process uses it.
            ConfigurationError: it cannot be opened.
        """
        self.path = path
        make_directories(path.parent)
        self._lock_file = path.with_suffix(".lock").open("w")
        try:
            self._hold(wait_seconds)
            self._connection = _connect(path)
        except BaseException:
            self._lock_file.close()
            raise
        self._lock = threading.Lock()

    def _hold(self, wait_seconds: float) -> None:
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise TransactionsInUseError(
                        f"{self.path} belongs to another running receiver: give this one another "
                        "WORKER_NODE_ID, or stop the other"
                    ) from error
                time.sleep(_LOCK_POLL_SECONDS)
            else:
                return

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()
        self._lock_file.close()

    def add(self, requester: Requester, request: Request, requested_us: int) -> int:
        """Make a request durable; returns the id of its transaction.

        The same request again is the same transaction. Other objects under a Transaction UID that
        is still in use are a transaction of their own, whose outcome is that it failed.

        Raises:
            RefusedError: too much waits already.
            sqlite3.Error: it cannot be made durable.
        """
        instances = msgspec.json.encode(request.references)
        key = (
            requester.tenant_id,
            requester.calling_ae,
            requester.called_ae,
            request.transaction_uid,
        )
        with self._lock:
            in_use = self._connection.execute(
                "SELECT id, instances FROM transactions WHERE tenant_id = ? AND calling_ae = ? "
                "AND called_ae = ? AND transaction_uid = ?",
                key,
            ).fetchall()
            for number, others in in_use:
                if others == instances:
                    return int(number)
            count, size = self._connection.execute(
                "SELECT count(*), coalesce(sum(length(instances)), 0) FROM transactions"
            ).fetchone()
            if count >= MAX_WAITING or size + len(instances) > MAX_WAITING_BYTES:
                raise RefusedError(ActionStatus.RESOURCE_LIMITATION)
            outcome = _encoded(_all_duplicate(request.references)) if in_use else None
            cursor = self._connection.execute(
                f"INSERT INTO transactions ({_ALL_COLUMNS}) "  # noqa: S608
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (*requester, request.transaction_uid, requested_us, instances, outcome),
            )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def all(self) -> list[Transaction]:
        """Those that wait, oldest first."""
        with self._lock:
            rows = self._connection.execute(
                f"SELECT id, {_COLUMNS} FROM transactions ORDER BY id"  # noqa: S608
            ).fetchall()
        return [
            Transaction(number, Requester(*requester), transaction_uid, requested_us)
            for number, *requester, transaction_uid, requested_us in rows
        ]

    def references(self, number: int) -> tuple[Reference, ...]:
        """The objects that a transaction asks about."""
        return msgspec.json.decode(self._blob("instances", number), type=tuple[Reference, ...])

    def outcome(self, number: int) -> Outcome | None:
        """What its report says; None while nobody has looked."""
        blob = self._blob("outcome", number)
        return msgspec.json.decode(blob, type=Outcome) if blob else None

    def _blob(self, column: str, number: int) -> bytes:
        with self._lock:
            (blob,) = self._connection.execute(
                f"SELECT {column} FROM transactions WHERE id = ?",  # noqa: S608
                (number,),
            ).fetchone()
        return blob or b""

    def set_outcome(self, number: int, outcome: Outcome) -> None:
        """Keep what its report says, so that every attempt at it says the same."""
        with self._lock:
            self._connection.execute(
                "UPDATE transactions SET outcome = ? WHERE id = ?", (_encoded(outcome), number)
            )

    def remove(self, number: int) -> None:
        """End a transaction: its report is delivered or given up."""
        with self._lock:
            self._connection.execute("DELETE FROM transactions WHERE id = ?", (number,))

    def waiting(self) -> Waiting:
        """How many, and since when."""
        with self._lock:
            count, oldest = self._connection.execute(
                "SELECT count(*), min(requested_us) FROM transactions"
            ).fetchone()
        return Waiting(count, max(0.0, time.time() - oldest / 1e6) if count else 0.0)

    def adopt_orphans(self) -> int:
        """Take over the transactions of nodes that do not run any more; returns how many.

        Each is durable here before it is deleted there.
        """
        adopted = 0
        for path in sorted(self.path.parent.glob("*.db")):
            if path == self.path:
                continue
            try:
                with closing(Transactions(path)) as orphan:
                    adopted += self._take_over(orphan)
            except TransactionsInUseError:
                continue  # its receiver lives
            except (PipelineError, OSError, sqlite3.Error) as error:
                logger.error(  # noqa: TRY400 - a traceback may quote values
                    "orphaned transactions not adopted",
                    extra={"file": path.name, **described(error)},
                )
        return adopted

    def _take_over(self, orphan: "Transactions") -> int:
        rows = orphan._rows()  # noqa: SLF001 - of this class
        if not rows:
            return 0
        with self._lock, _transaction(self._connection):
            self._connection.executemany(
                f"INSERT OR IGNORE INTO transactions ({_ALL_COLUMNS}) "  # noqa: S608
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
        orphan._clear()  # noqa: SLF001
        return len(rows)

    def _rows(self) -> Sequence[tuple[object, ...]]:
        with self._lock:
            return self._connection.execute(
                f"SELECT {_ALL_COLUMNS} FROM transactions ORDER BY id"  # noqa: S608
            ).fetchall()

    def _clear(self) -> None:
        with self._lock:
            self._connection.execute("DELETE FROM transactions")


def _connect(path: Path) -> sqlite3.Connection:
    try:
        connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        switch_to_wal(connection, _BUSY_SECONDS)
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(_SCHEMA)
    except sqlite3.Error as error:
        raise ConfigurationError(f"{path} cannot be opened: {error}") from error
    return connection


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _encoded(outcome: Outcome) -> bytes:
    return msgspec.json.encode(outcome)


def _all_duplicate(references: Sequence[Reference]) -> Outcome:
    return Outcome((), tuple((each, FailureReason.DUPLICATE_TRANSACTION) for each in references))
