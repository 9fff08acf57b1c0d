"""Versions and trace ids: a hybrid logical clock that never goes back."""

import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_random = random.Random()  # noqa: S311 - for uniqueness, not for secrecy; without a system call


def wall_clock_us() -> int:
    """Microseconds since the epoch, by this machine's clock."""
    return time.time_ns() // 1000


class HybridClock:
    """Hands out versions: µs since the epoch, each greater than every one before.

    When the machine's clock stands still or is set back, the versions count on from the last one
    by single microseconds, so that "newer" keeps meaning "received later".
    """

    def __init__(self, last: int = 0, now: Callable[[], int] = wall_clock_us) -> None:
        self._last = last
        self._now = now
        self._lock = threading.Lock()

    def next(self) -> int:
        """The next version, unique in this clock."""
        with self._lock:
            self._last = max(self._now(), self._last + 1)
            return self._last


def trace_id_for(version: int) -> str:
    """A UUID version 7 (RFC 9562) whose time part is that of ``version``, so that ids sort by it.

    The 12 bits behind the milliseconds hold the microseconds (RFC 9562 6.2, method 3).
    """
    milliseconds, microseconds = divmod(version, 1000)
    random = 0b10 << 62 | _random.getrandbits(62)
    return (
        f"{milliseconds >> 16 & 0xFFFF_FFFF:08x}-{milliseconds & 0xFFFF:04x}"
        f"-7{microseconds * 4096 // 1000:03x}-{random >> 48:04x}-{random & 0xFFFF_FFFF_FFFF:012x}"
    )


def iso_time(version: int) -> str:
    """``version`` as UTC ISO 8601 with microseconds, e.g. ``2026-01-31T12:00:00.000001Z``."""
    seconds, microseconds = divmod(version, 1_000_000)
    return f"{_iso_second(seconds)}.{microseconds:06d}Z"


@lru_cache(maxsize=16)  # the objects of a second have it in common
def _iso_second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).isoformat().removesuffix("+00:00")
