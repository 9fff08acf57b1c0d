"""A directory whose syncs are shared by all the threads that need one at the same time."""

import os
import threading
from pathlib import Path


class SharedSync:
    """Makes a directory's entries durable."""

    def __init__(self, directory: Path) -> None:
        self._descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._changed = threading.Condition()
        self._running = False
        self._started = 0
        self._ended = 0
        self._failed = 0
        """The last sync that failed."""

    def wait(self) -> None:
        """Return once a sync that began after this call has ended.

        Raises:
            OSError: the entries are not on disk.
        """
        with self._changed:
            mine = self._started + 1
            while self._running:
                self._changed.wait()
                if self._ended >= mine:
                    if self._failed >= mine:
                        raise OSError("another thread's sync of the directory has failed")
                    return
            self._running = True
            self._started = mine = self._started + 1
        failed = True
        try:
            os.fsync(self._descriptor)
            failed = False
        finally:
            with self._changed:
                self._running = False
                self._ended = mine
                if failed:
                    self._failed = mine
                self._changed.notify_all()

    def close(self) -> None:
        """Let go of the directory."""
        os.close(self._descriptor)
