"""How far a copying came, so that it can go on after an interruption."""

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import msgspec

from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.moving.source import Key
from dicom_pipeline.storage import atomic_file


class TablePosition(msgspec.Struct):
    """How much of a table the target has."""

    after: list[Key] = []
    """The key of the last row."""
    rows: int = 0


class QueuePosition(msgspec.Struct):
    """How much of a queue's pending messages the target has."""

    topic_id: str
    """The target's topic: created anew, it would be empty again."""
    before: int
    """Messages that it had ever taken before."""
    published: int = 0
    set_aside: int = 0
    """How many of them became dead letters, as the target never takes them."""


class _State(msgspec.Struct):
    target: dict[str, str]
    pending: dict[str, list[OffsetRange]]
    id: str = ""
    tables: dict[str, TablePosition] = {}
    queues: dict[str, QueuePosition] = {}


class Journal:
    """A small file in the source's home; it is there while a copying is not finished."""

    def __init__(self, path: Path, state: _State, *, resumed: bool) -> None:
        self._path = path
        self._state = state
        self.resumed = resumed
        """Whether an earlier copying is gone on with."""

    @classmethod
    def open(
        cls, path: Path, target: Mapping[str, str], pending: Mapping[str, Sequence[OffsetRange]]
    ) -> Self:
        """The journal of an earlier copying, or a new one.

        It starts over when the earlier one had another target, or when other messages are pending:
        the stages have worked on the source since.

        Args:
            path: the file.
            target: where each system goes, by its name.
            pending: the ranges to publish, by queue.
        """
        wanted = _State(
            target=dict(target),
            pending={queue: list(ranges) for queue, ranges in pending.items()},
            id=uuid.uuid4().hex,
        )
        found = _read(path)
        if found and (found.target, found.pending) == (wanted.target, wanted.pending):
            return cls(path, found, resumed=True)
        return cls(path, wanted, resumed=False)

    def table(self, name: str) -> TablePosition:
        """Where to go on in a table."""
        return self._state.tables.setdefault(name, TablePosition())

    def queue(self, name: str, present: QueuePosition) -> QueuePosition:
        """Where to go on in a queue; ``present`` when it was not begun, or its topic is new."""
        found = self._state.queues.get(name)
        if found is None or found.topic_id != present.topic_id:
            found = self._state.queues[name] = present
        return found

    def save(self) -> None:
        """Write down how far it came."""
        with atomic_file(self._path) as file:
            file.write(msgspec.json.encode(self._state))

    def remove(self) -> None:
        """The copying has ended."""
        self._path.unlink(missing_ok=True)


def _read(path: Path) -> _State | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_State)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
