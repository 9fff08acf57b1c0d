"""What everybody who opens a SQLite file does alike: the write-ahead log, and errors that help."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from dicom_pipeline.errors import PipelineError, TransientError

_WAL_PAUSE_SECONDS: Final = 0.02

_REMEDIES: Final = {
    sqlite3.SQLITE_BUSY: "another process holds the write lock; look for one that hangs",
    sqlite3.SQLITE_LOCKED: "another connection holds a lock; look for one that hangs",
    sqlite3.SQLITE_PROTOCOL: "many processes open the file at once; if it stays, look at the mount",
    sqlite3.SQLITE_INTERRUPT: "the statement was interrupted",
    sqlite3.SQLITE_NOMEM: "free some memory",
    sqlite3.SQLITE_IOERR: "check the disk and the mount",
    sqlite3.SQLITE_FULL: "free some space on the disk",
    sqlite3.SQLITE_CANTOPEN: (
        "is its folder there and writable? Check the mount and the folder's permissions; "
        "`dicom-pipeline migrate` makes a missing folder"
    ),
    sqlite3.SQLITE_READONLY: "make the file and its folder writable for this user",
    sqlite3.SQLITE_NOTADB: "the file is no SQLite database; move it away",
    sqlite3.SQLITE_CORRUPT: "the database is damaged; restore the file from a backup",
}
_ROWS: Final = (128, 64, 32, 16, 8, 4, 2, 1)
"""Few sizes, so that the driver keeps their statements; no statement with 1,000 values."""
_NO_TABLE: Final = "no such table"
"""SQLite has no code of its own for it."""


def primary_code(error: BaseException) -> int:
    """The result code without its extension bits (sqlite.org/rescode.html)."""
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF


def explained(error: BaseException, file: str) -> PipelineError | None:
    """The driver's error with the name of the file and a remedy; None for a programming error.

    All of these are transient, a damaged file and a missing table too: what waits goes on by itself
    once the file is restored or the schema migrated.
    """
    code = primary_code(error)
    if remedy := _REMEDIES.get(code):
        return TransientError(f"{file}: {error}: {remedy}")
    if _NO_TABLE in str(error):
        return TransientError(f"{file}: {error}: run `dicom-pipeline migrate`")
    return None


def insert_rows(
    connection: sqlite3.Connection,
    insert: str,
    rows: Sequence[Sequence[object]],
    on_conflict: str = "",
) -> None:
    """Insert many rows by few statements.

    At each row of an ``executemany`` the driver lets other threads run and waits for its turn
    again: where threads are many, that takes several times as long as the row itself.

    Args:
        connection: the caller commits.
        insert: the statement up to ``VALUES``.
        rows: all of one length.
        on_conflict: what stands behind the values.
    """
    start = 0
    for size in _ROWS:
        while len(rows) - start >= size:
            chunk = rows[start : start + size]
            start += size
            values = ", ".join([f"({', '.join('?' * len(chunk[0]))})"] * size)
            connection.execute(
                f"{insert} VALUES {values} {on_conflict}", [value for row in chunk for value in row]
            )


@contextmanager
def in_our_terms(path: Path) -> Iterator[None]:
    """Raise the driver's errors about a file as `explained` tells them."""
    try:
        yield
    except sqlite3.Error as error:
        raise explained(error, str(path)) or error from error


def switch_to_wal(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Choose the write-ahead log, which the file then keeps.

    Processes that switch a new file at once are told that it is locked without the busy timeout
    (each holds a lock that another waits for), so the waiting is done here.

    Raises:
        sqlite3.OperationalError: the file is still locked after ``busy_seconds``, or another error.
    """
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if primary_code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(_WAL_PAUSE_SECONDS)
        else:
            return
