"""Copies of SQLite files that others are writing to."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from dicom_pipeline.errors import PermanentError
from dicom_pipeline.sqlite_access import in_our_terms

_BUSY_SECONDS: Final = 30


def copy_database(source: Path, target: Path) -> dict[str, int]:
    """Copy a database as it is at one moment; the rows of each table in the copy.

    It is copied in one step: in several it would begin anew whenever somebody writes in between.
    With a write-ahead log nobody has to wait meanwhile. The copy has none: it is one file.

    Raises:
        TransientError: the file cannot be read now.
        PermanentError: the copy is not sound, so the file is not either.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with (
        in_our_terms(source),
        closing(
            sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
        ) as of,
        closing(sqlite3.connect(target)) as to,
    ):
        of.backup(to)
        to.execute("PRAGMA journal_mode = DELETE")
    return count_rows(target)


def count_rows(path: Path) -> dict[str, int]:
    """The rows of each table of a sound database.

    Raises:
        PermanentError: it is not sound.
    """
    with in_our_terms(path), closing(_read_only(path)) as connection:
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise PermanentError(f"{path} is damaged ({verdict}): restore it from an older backup")
        names = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
        ).fetchall()
        return {
            name: connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0]  # noqa: S608 - a name from the schema
            for (name,) in sorted(names)
        }


def _read_only(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS)
