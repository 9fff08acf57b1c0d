"""A circuit breaker: who does not answer is left alone for a while, then asked again."""

import threading
import time
from collections.abc import Callable
from typing import Final

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0


class CircuitBreaker:
    """Open after one failure, for a pause that doubles with each further one."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._pause = 0.0
        self._closed_from = 0.0
        self._lock = threading.Lock()

    def lets_through(self) -> bool:
        """Whether to try; after a pause one caller tries, and the others wait for the outcome."""
        with self._lock:
            if not self._pause:
                return True
            now = self._now()
            if now < self._closed_from:
                return False
            self._closed_from = now + self._pause
            return True

    def failed(self) -> bool:
        """Note a failure; returns whether it is the first of an outage."""
        with self._lock:
            first = not self._pause
            self._pause = min(max(2 * self._pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
            self._closed_from = self._now() + self._pause
            return first

    def succeeded(self) -> bool:
        """Note a success; returns whether it ends an outage."""
        with self._lock:
            ends, self._pause = bool(self._pause), 0.0
            return ends
