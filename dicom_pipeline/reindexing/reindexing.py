"""The reindexing as a whole: walk, read, publish, write down."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from dicom_pipeline.batches import batches
from dicom_pipeline.errors import TransientError
from dicom_pipeline.event_log import EventLog, Message
from dicom_pipeline.messages import FAN_OUT
from dicom_pipeline.reindexing.journal import Journal
from dicom_pipeline.reindexing.pace import Following, longest_lag
from dicom_pipeline.reindexing.reading import Pool, Result, results
from dicom_pipeline.reindexing.report import Counts, Scope, complaint
from dicom_pipeline.reindexing.walking import Found, walk
from dicom_pipeline.stages.files import require_storage_root
from receiver.stored import LeftOut, Stored

_BATCH: Final = 1024
"""Files between two notes in the journal."""
_BATCH_BYTES: Final = 4 << 20
"""Bytes of their events."""
_LOOK_SECONDS: Final = 1.0
_LONGEST_PAUSE: Final = 30.0


class Progress(Protocol):
    """Who is told how far it is."""

    def read(self, counts: Counts, share: float) -> None:
        """Files were read; about this share of the storage root is done."""

    def waiting(self, why: str) -> None:
        """Nothing is published now, for this reason."""

    def left(self, messages: int) -> None:
        """All is published; the stages have so much of it to do."""


class Reindexing:
    """One reindexing; `publish` may be called again after it was interrupted.

    Args:
        root: the storage root.
        scope: which files, and how they are looked at.
        pool: reads them.
        log: gets their events.
        progress: is told how far it is.
    """

    def __init__(
        self, root: Path, scope: Scope, pool: Pool, log: EventLog, progress: Progress
    ) -> None:
        self._root = root
        self._scope = scope
        self._pool = pool
        self._log = log
        self._progress = progress

    def open_journal(self, home: Path, tables: Mapping[str, str], *, from_start: bool) -> Journal:
        """How far an earlier reindexing came.

        Args:
            home: the folder that the journal lies in.
            tables: by database, when its tables were made.
            from_start: never go on with an earlier one.

        Raises:
            ConfigurationError: the queues are not there.
        """
        topics = {queue: self._log.topic_id(queue) for queue in FAN_OUT}
        targets = {**topics, **tables}
        return Journal.open(home, self._root, self._scope, targets, from_start=from_start)

    def publish(self, journal: Journal, ahead: int) -> Counts:
        """Publish the events of all files that the journal does not know of.

        A batch is published first and written down then, so after a crash some events come twice,
        which changes no row. While the event log is away it waits.

        Args:
            journal: tells where to go on, and is told how far it came.
            ahead: publish only while no stage has more messages than this to do.

        Raises:
            TransientError: the storage root is away.
        """
        counts = journal.counts
        self._progress.read(counts, 0.0)
        for batch in self._batches(journal.after):
            messages = [message for _, one in batch for message in _messages(one)]
            self._patiently(partial(self._keep_pace, ahead))
            self._patiently(partial(self._log.publish, messages))
            for _, one in batch:
                counts.add(one)
            lines = [line for found, one in batch if (line := complaint(found.path, one))]
            readable = (found.path for found, _ in reversed(batch) if not found.problem)
            journal.passed(next(readable, journal.after), lines)
            self._progress.read(counts, batch[-1][0].share)
        return counts

    def look(self, tell: Callable[[str], None]) -> Counts:
        """Read every file and publish nothing; ``tell`` takes a line about each that is not good.

        Raises:
            TransientError: the storage root is away.
        """
        counts = Counts()
        self._progress.read(counts, 0.0)
        for batch in self._batches(""):
            for found, one in batch:
                counts.add(one)
                if line := complaint(found.path, one):
                    tell(line)
            self._progress.read(counts, batch[-1][0].share)
        return counts

    def follow(self) -> None:
        """Return when the stages have passed all that the queues hold now."""
        following: list[Following] = []
        self._patiently(lambda: following.append(Following(self._log)))
        while True:
            with suppress(TransientError):  # a system that is away comes back
                left = following[0].left()
                self._progress.left(left)
                if not left:
                    return
            time.sleep(_LOOK_SECONDS)

    def _batches(self, after: str) -> Iterator[list[tuple[Found, Result]]]:
        require_storage_root(self._root)
        scope = self._scope
        found = walk(self._root, tenants=scope.tenants, studies=scope.studies, after=after)
        read = results(self._pool, self._root, scope, found)
        for batch in batches(read, _BATCH, _BATCH_BYTES, _size):
            if any(isinstance(one, LeftOut) for _, one in batch):
                require_storage_root(self._root)  # that may be all that is wrong with them
            yield batch
        require_storage_root(self._root)

    def _keep_pace(self, ahead: int) -> None:
        """Wait until the stages are near enough."""
        while (lag := longest_lag(self._log)).messages > ahead:
            self._progress.waiting(
                f"the stage {lag.stage} has {lag.messages:,} messages to do; is `up` running?"
            )
            time.sleep(_LOOK_SECONDS)

    def _patiently(self, act: Callable[[], object]) -> None:
        """Do it, for as long as it takes until the event log is there."""
        pause = _LOOK_SECONDS
        while True:
            try:
                act()
            except TransientError as error:
                self._progress.waiting(str(error))
                time.sleep(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
            else:
                return


def _messages(result: Result) -> list[Message]:
    if not isinstance(result, Stored):
        return []
    return [Message(queue, result.key, result.value) for queue in FAN_OUT]


def _size(item: tuple[Found, Result]) -> int:
    return len(item[1].value) if isinstance(item[1], Stored) else 0
