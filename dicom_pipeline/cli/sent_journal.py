"""What was acknowledged by which destination, so that an interrupted `send` can go on."""

import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Final, Self

from platformdirs import user_state_path

_SCHEMA: Final = (
    "CREATE TABLE IF NOT EXISTS sent (destination TEXT, path TEXT, size INTEGER, "
    "mtime_ns INTEGER, PRIMARY KEY (destination, path)) WITHOUT ROWID"
)
_COMMIT_EVERY: Final = 50


class SentJournal:
    """The acknowledged files of one destination. A file that changed counts as a new one."""

    def __init__(self, file: Path, destination: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self._connection = sqlite3.connect(file, check_same_thread=False)
        self._connection.execute(_SCHEMA)
        self._destination = destination
        self._lock = threading.Lock()
        self._pending = 0

    @classmethod
    def for_user(cls, destination: str) -> Self:
        """The journal in this user's folder for program state."""
        return cls(user_state_path("dicom-pipeline") / "sent.db", destination)

    def known(self, paths: Iterable[Path]) -> set[Path]:
        """Which of these files were acknowledged as they are now."""
        rows = self._connection.execute(
            "SELECT path, size, mtime_ns FROM sent WHERE destination = ?", (self._destination,)
        )
        noted = {path: (size, mtime_ns) for path, size, mtime_ns in rows}
        return {path for path in paths if noted.get(str(path.resolve())) == _state(path)}

    def note(self, path: Path) -> None:
        """Write down that the file was acknowledged. May be called in any thread."""
        with self._lock:
            self._connection.execute(
                "INSERT OR REPLACE INTO sent VALUES (?, ?, ?, ?)",
                (self._destination, str(path.resolve()), *_state(path)),
            )
            self._pending += 1
            if self._pending >= _COMMIT_EVERY:
                self._connection.commit()
                self._pending = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.commit()
        self._connection.close()


def _state(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
