"""How far a reindexing came, so that it can go on after an interruption."""

from pathlib import Path
from typing import Final, Self

import msgspec

from dicom_pipeline.reindexing.report import Counts, Scope
from dicom_pipeline.storage import atomic_file

JOURNAL: Final = "reindex.json"
LIST: Final = "reindex-left-out.tsv"
"""Their names in the home."""


class _State(msgspec.Struct):
    root: str
    scope: Scope
    targets: dict[str, str]
    """What tells queues and tables from others of their name, that were made anew and are empty."""
    after: str = ""
    counts: Counts = msgspec.field(default_factory=Counts)
    listed: int = 0
    """Bytes of the list that are about files up to ``after``."""


class Journal:
    """A small file in the home, there while a reindexing is not finished, and a list beside it."""

    def __init__(self, home: Path, state: _State, *, resumed: bool) -> None:
        self._path = home / JOURNAL
        self.list_path = home / LIST
        self._state = state
        self.resumed = resumed
        """Whether an earlier reindexing is gone on with."""

    @classmethod
    def open(
        cls, home: Path, root: Path, scope: Scope, targets: dict[str, str], *, from_start: bool
    ) -> Self:
        """The journal of an earlier reindexing of the same files into the same tables, or a new.

        Args:
            home: the folder that it lies in.
            root: the storage root.
            scope: what is asked for.
            targets: an id of each queue and database, which changes when it is made anew.
            from_start: never go on with an earlier one.
        """
        wanted = _State(root=str(root), scope=scope, targets=targets)
        found = None if from_start else _read(home / JOURNAL)
        same = found and (found.root, found.scope, found.targets) == (str(root), scope, targets)
        journal = cls(home, found if found and same else wanted, resumed=bool(same))
        journal._cut_list()
        return journal

    @property
    def after(self) -> str:
        """The path up to which every file is published."""
        return self._state.after

    @property
    def counts(self) -> Counts:
        """What became of the files up to there."""
        return self._state.counts

    def passed(self, path: str, lines: list[str]) -> None:
        """Write down that the files up to ``path`` are published; ``lines`` go to the list."""
        if lines:
            with self.list_path.open("a", encoding="utf-8") as file:
                file.writelines(f"{line}\n" for line in lines)
                self._state.listed = file.tell()
        self._state.after = path
        with atomic_file(self._path) as file:
            file.write(msgspec.json.encode(self._state))

    def remove(self) -> None:
        """The reindexing has ended; its list stays."""
        self._path.unlink(missing_ok=True)

    def _cut_list(self) -> None:
        """Take back lines about files that the journal does not know of yet."""
        if self._state.listed:
            with self.list_path.open("ab") as file:
                file.truncate(self._state.listed)
        else:
            self.list_path.unlink(missing_ok=True)


def _read(path: Path) -> _State | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_State)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
