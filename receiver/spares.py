"""Empty files in ``incoming/`` whose entries are durable already: an object that takes one need not
wait until its own is.

It keeps the name. What recovery finds in a file tells which object it is, not how it is called.
"""

import itertools
import logging
import os
import stat
import threading
import uuid
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

from dicom_pipeline.storage import SPARE, holds_something, sync_directory
from receiver.failures import described

logger = logging.getLogger(__name__)

COUNT: Final = 256
"""How many lie ready: enough for a tenth of a second of the smallest objects."""

_EMPTY_FILE: Final = stat.S_IFREG | 0o666


class Spares:
    """Makes spare files in a thread, many with one sync of their folder."""

    def __init__(self, folder: Path, count: int = COUNT) -> None:
        """Start making ``count`` of them."""
        self._folder = folder
        self._count = count
        self._series = uuid.uuid4()
        """In all names: what an earlier receiver has left bears others."""
        self._numbers = itertools.count()
        self._ready: deque[str] = deque()
        self._wanted = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="spares", daemon=True)
        self._thread.start()

    def take(self) -> str | None:
        """The path of a spare file, which is the caller's; None: there is none now."""
        spare = None
        with suppress(IndexError):
            spare = self._ready.popleft()
        if self._few() and not self._wanted.is_set():
            self._wanted.set()
        return spare

    def stop(self) -> None:
        """Make no more, and remove those that are left."""
        self._stopping = True
        self._wanted.set()
        self._thread.join()
        with suppress(IndexError):
            while True:
                _remove(self._ready.popleft())

    def _run(self) -> None:
        while not self._stopping:
            failed = False
            try:
                self._ready.extend(self._make(self._count - len(self._ready)))
            except OSError as error:  # a full disk, say: objects make their own, or are refused
                failed = True
                logger.debug("no spare files", extra=described(error))
            self._wanted.clear()
            # What was asked for before that is looked at here, whatever comes later wakes us.
            if not self._stopping and (failed or not self._few()):
                self._wanted.wait()

    def _few(self) -> bool:
        """Whether it is time for more: many at a time share a sync."""
        return len(self._ready) <= self._count // 2

    def _make(self, number: int) -> list[str]:
        """So many new ones.

        Raises:
            OSError: there are none.
        """
        made: list[str] = []
        try:
            for _ in range(number):
                path = f"{self._folder}/{self._series}-{next(self._numbers)}{SPARE}"
                os.mknod(path, _EMPTY_FILE)
                made.append(path)
            sync_directory(self._folder)
        except OSError:
            for path in made:
                _remove(path)
            raise
        return made


def clear(folder: Path) -> None:
    """Remove the spare files that hold nothing. To be called when nobody receives into the folder.

    What cannot be removed now stays for the next call.
    """
    for path in folder.glob(f"*{SPARE}"):
        if not holds_something(path):
            _remove(str(path))


def _remove(path: str) -> None:
    with suppress(OSError):
        Path(path).unlink()
