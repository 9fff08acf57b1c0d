"""A value that is read at most once a moment, however many ask for it."""

import threading
import time
from collections.abc import Callable
from typing import Final, Generic, TypeVar

T = TypeVar("T")

KEEP_SECONDS: Final = 1.0
_WAIT_SECONDS: Final = 2.0
"""How long to wait for another thread's reading: a folder on a dead network never answers."""


class Recent(Generic[T]):
    """Calls ``read`` when the last value is too old, in one thread at a time."""

    def __init__(self, read: Callable[[], T], busy: T, keep_seconds: float = KEEP_SECONDS) -> None:
        """``busy``: the answer while another thread's reading takes too long."""
        self._read = read
        self._busy = busy
        self._keep_seconds = keep_seconds
        self._value = busy
        self._due = 0.0
        self._lock = threading.Lock()

    def __call__(self) -> T:
        """The value; raises what ``read`` raises."""
        if time.monotonic() < self._due:
            return self._value
        if not self._lock.acquire(timeout=_WAIT_SECONDS):
            return self._busy
        try:
            if time.monotonic() >= self._due:
                self._value = self._read()
                self._due = time.monotonic() + self._keep_seconds
            return self._value
        finally:
            self._lock.release()
