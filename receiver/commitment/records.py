"""Which SOP instance was received, and where its file lies: tables in the outbox's SQLite file.

The outbox's writer calls `insert` in the transaction of the events, so that an object has its
record as soon as its event is durable. Instances of a series share a folder, and their UIDs mostly
a beginning: the key's order puts them on the same pages.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

from dicom_pipeline.errors import TransientError
from dicom_pipeline.sqlite_access import explained, insert_rows

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS folders (
    id INTEGER PRIMARY KEY,
    path TEXT NOT NULL UNIQUE,
    day INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS received (
    sop_uid TEXT NOT NULL,
    folder INTEGER NOT NULL,
    version INTEGER NOT NULL,
    day INTEGER NOT NULL,
    PRIMARY KEY (sop_uid, folder, version)
) WITHOUT ROWID;
"""
"""``version`` is the one in the file's name, 0 for the plain name; ``day`` that of the last receipt
of these bytes, for a folder of its last receipt at all, in days since the epoch."""

CHUNK: Final = 10_000
_DAY_US: Final = 86_400_000_000
_BUSY_SECONDS: Final = 10
_FIND: Final = """
SELECT received.sop_uid, folders.path, received.version
FROM json_each(?) AS wanted
JOIN received ON received.sop_uid = wanted.value
JOIN folders ON folders.id = received.folder
"""


class Placement(NamedTuple):
    """Where the bytes of one receipt lie: in a new file, or in one that was there before."""

    path: str
    """Relative to the storage root, as in the event."""
    version: int
    """Of the receipt: µs since the epoch."""


def day_of(version: int) -> int:
    """The day (since the epoch) of a version."""
    return version // _DAY_US


def insert(connection: sqlite3.Connection, placements: Iterable[Placement]) -> None:
    """Record receipts in the caller's transaction; what is known already gets the later day."""
    days: dict[str, int] = {}
    rows: list[tuple[str, str, int, int]] = []
    for path, version in placements:
        folder, _, name = path.rpartition("/")
        sop_uid, _, named = name.removesuffix(".dcm").partition("~")
        day = day_of(version)
        days[folder] = max(day, days.get(folder, 0))
        rows.append((sop_uid, folder, int(named or 0), day))
    identifiers: dict[str, int] = {}
    for folder, day in days.items():
        connection.execute(
            "INSERT INTO folders (path, day) VALUES (?, ?) ON CONFLICT (path) DO UPDATE "
            "SET day = excluded.day WHERE excluded.day > day",
            (folder, day),
        )
        (identifiers[folder],) = connection.execute(
            "SELECT id FROM folders WHERE path = ?", (folder,)
        ).fetchone()
    insert_rows(
        connection,
        "INSERT INTO received (sop_uid, folder, version, day)",
        [(sop_uid, identifiers[folder], named, day) for sop_uid, folder, named, day in rows],
        "ON CONFLICT DO UPDATE SET day = excluded.day WHERE excluded.day > day",
    )


def forget_older(
    connection: sqlite3.Connection, day: int, after: str = "", limit: int = CHUNK
) -> str | None:
    """Delete what was last received before ``day``, among the next ``limit`` records.

    A step of a pass over all records, short enough to stand between two commits of the outbox.

    Args:
        connection: the outbox's; the caller commits.
        day: days since the epoch; see `day_of`.
        after: what the step before has returned; empty at first.
        limit: how many records are looked at.

    Returns:
        Where the next step goes on; None once the pass is complete.
    """
    last = connection.execute(
        "SELECT sop_uid FROM received WHERE sop_uid > ? ORDER BY sop_uid LIMIT 1 OFFSET ?",
        (after, limit - 1),
    ).fetchone()
    if last:
        connection.execute(
            "DELETE FROM received WHERE sop_uid > ? AND sop_uid <= ? AND day < ?",
            (after, last[0], day),
        )
        return str(last[0])
    connection.execute("DELETE FROM received WHERE sop_uid > ? AND day < ?", (after, day))
    connection.execute("DELETE FROM folders WHERE day < ?", (day,))
    return None


def find(
    outboxes: Path, tenant_id: str, sop_uids: Collection[str]
) -> Mapping[str, list[PurePosixPath]]:
    """The files of ``sop_uids`` that a tenant's receipts have left, by all outboxes of a folder.

    Args:
        outboxes: the folder of the outboxes, which belong to running receivers or to none.
        tenant_id: the first part of the paths.
        sop_uids: SOP Instance UIDs; those without a record are not in the result.

    Returns:
        Paths relative to the storage root, in no order; not all need exist.

    Raises:
        TransientError: an outbox cannot be read now.
    """
    found: defaultdict[str, list[PurePosixPath]] = defaultdict(list)
    wanted = json.dumps(list(sop_uids))
    for path in sorted(outboxes.glob("*.db")):
        for sop_uid, folder, version in _rows(path, wanted):
            if folder.startswith(f"{tenant_id}/"):
                name = f"{sop_uid}~{version}.dcm" if version else f"{sop_uid}.dcm"
                file = PurePosixPath(folder, name)
                if file not in found[sop_uid]:
                    found[sop_uid].append(file)
    return found


def _rows(path: Path, wanted: str) -> list[tuple[str, str, int]]:
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
        ) as connection:
            if not connection.execute(
                "SELECT 1 FROM sqlite_schema WHERE name = 'received'"
            ).fetchone():
                return []
            return connection.execute(_FIND, (wanted,)).fetchall()
    except sqlite3.Error as error:
        raise explained(error, f"outbox {path.name}") or TransientError(
            f"outbox {path.name}: {error}"
        ) from error
