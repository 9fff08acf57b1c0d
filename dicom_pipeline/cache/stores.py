"""Where a cache keeps its values: what every store promises, and the one in process."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

MAX_BYTES: Final = 16 << 20
"""What keys and values of a store in process may hold together."""


class StoreError(Exception):
    """The store is away, too slow, or refuses; nothing is known of what it did."""


class Store(Protocol):
    """Values by key, for a time. It may lose any of them at any moment."""

    shared: bool
    """Whether other processes see the same values."""

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each key, None where there is none.

        Raises:
            StoreError: see there; so do all others.
        """

    def put(self, values: Mapping[str, bytes], seconds: float) -> None:
        """Keep the values, for so long at most."""

    def drop(self, keys: Sequence[str]) -> None:
        """Forget the values."""

    def close(self) -> None:
        """Let go of connections; raises nothing."""


class _Entry(NamedTuple):
    value: bytes
    expires: float


class MemoryStore:
    """Values in this process; the least recently used ones make room."""

    shared = False

    def __init__(
        self, max_bytes: int = MAX_BYTES, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_bytes = max_bytes
        self._now = now
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `Store`."""
        with self._lock:
            now = self._now()
            return [self._get(key, now) for key in keys]

    def put(self, values: Mapping[str, bytes], seconds: float) -> None:
        """See `Store`."""
        with self._lock:
            expires = self._now() + seconds
            for key, value in values.items():
                self._remove(key)
                self._entries[key] = _Entry(value, expires)
                self._bytes += len(key) + len(value)
            while self._bytes > self._max_bytes:
                self._remove(next(iter(self._entries)))

    def drop(self, keys: Sequence[str]) -> None:
        """See `Store`."""
        with self._lock:
            for key in keys:
                self._remove(key)

    def close(self) -> None:
        """See `Store`."""

    def _get(self, key: str, now: float) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry.expires <= now:
            self._remove(key)
            return None
        self._entries.move_to_end(key)
        return entry.value

    def _remove(self, key: str) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= len(key) + len(entry.value)
