"""One embedded system: a SQLite file. It is opened read-only and never created."""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from dicom_pipeline.cli.checks.check import Check, failure, ok
from dicom_pipeline.cli.checks.file_systems import is_network, kind, may_write
from dicom_pipeline.sqlite_access import in_our_terms

_STRICT_TABLES: Final = (3, 37)
"""The first version of SQLite that knows them."""
_BUSY_SECONDS: Final = 5.0


class Embedded:
    """A file that is there, to be asked."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with in_our_terms(path):
            # Read-only, SQLite would still make the two files beside it that writers share, and
            # leave them there. Where there are none, nobody writes.
            mode = "mode=ro" if Path(f"{path}-wal").exists() else "immutable=1"
            self._connection = sqlite3.connect(
                f"{path.as_uri()}?{mode}", uri=True, timeout=_BUSY_SECONDS
            )
        self._connection.row_factory = sqlite3.Row

    def query(self, sql: str) -> list[dict[str, object]]:
        """The rows of a SELECT."""
        with in_our_terms(self._path):
            return [dict(row) for row in self._connection.execute(sql)]

    def number(self, sql: str) -> int:
        """The one number that a SELECT gives."""
        (row,) = self.query(sql)
        return int(str(next(iter(row.values()))))

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _not_created(system: str, path: Path) -> Check | None:
    """What to say of a file that does not exist; None when it does."""
    if path.exists():
        return None
    if not path.parent.exists():
        return ok(system, "reachable", f"{path} is not created yet", "`up` creates it")
    return failure(
        system,
        "reachable",
        f"{path} does not exist, though its folder does",
        "run `dicom-pipeline migrate` to make an empty one, or restore it from a backup",
    )


@contextmanager
def opened(path: Path) -> Iterator[Embedded]:
    """Open the file to ask it.

    Raises:
        PipelineError: it cannot be opened or read.
    """
    with closing(Embedded(path)) as file:
        yield file


def check_embedded(
    system: str, path: Path, ask: Callable[[Embedded], Iterable[Check]]
) -> Iterator[Check]:
    """The checks of any file, and what ``ask`` finds in this one; neither before it is created.

    Raises:
        PipelineError: it cannot be opened or read.
    """
    if missing := _not_created(system, path):
        yield missing
        return
    yield from check_file(system, path)
    with opened(path) as file:
        yield from ask(file)


def check_file(system: str, path: Path) -> Iterator[Check]:
    """Reachable, version, rights, and whether its disk is one that SQLite works on."""
    yield ok(system, "reachable", f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    version = f"SQLite {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info[: len(_STRICT_TABLES)] >= _STRICT_TABLES:
        yield ok(system, "version", version)
    else:
        needed = ".".join(map(str, _STRICT_TABLES))
        yield failure(system, "version", version, f"use a Python with SQLite {needed} or newer")
    if may_write(path) and may_write(path.parent):
        yield ok(system, "rights", "read and write")
    else:
        remedy = f"make {path}, its -wal and -shm, and their folder writable for this user"
        yield failure(system, "rights", "may not be written", remedy)
    if is_network(path):
        remedy = "move the home to a local disk, or use a server (see docs/operations.md)"
        yield failure(system, "file system", f"{kind(path)}: SQLite fails on it", remedy)
