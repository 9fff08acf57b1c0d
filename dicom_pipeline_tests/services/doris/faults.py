"""What goes wrong, once for each time it was asked for."""

import threading
from collections import defaultdict
from typing import Any

PUBLISH_TIMEOUT = "the load is committed and visible, but the publication timed out"
LOSE_ANSWER = "the load is done, and the connection breaks before the answer"
DIE_IN_BODY = "the backend is gone in the middle of the body"
ABORT_IN_BODY = "the connection breaks in the middle of the body and the load is aborted"
FAIL = "the load fails with a message"
SLOW = "the answer takes a while"
STATUS = "HTTP status instead of an answer"
LOST_QUERY = "the connection of the MySQL protocol breaks during a statement"
REFUSED_QUERY = "a statement is refused with a message"

KINDS = (
    PUBLISH_TIMEOUT,
    LOSE_ANSWER,
    DIE_IN_BODY,
    ABORT_IN_BODY,
    FAIL,
    SLOW,
    STATUS,
    LOST_QUERY,
    REFUSED_QUERY,
)

_GOES_WELL = object()


class Faults:
    """Faults that are waiting."""

    def __init__(self) -> None:
        self._waiting: dict[str, list[Any]] = defaultdict(list)
        self._lock = threading.Lock()

    def add(self, kind: str, detail: Any = None, *, after: int = 0) -> None:
        """Let one thing go wrong: at the next occasion, or when ``after`` of them went well."""
        assert kind in KINDS
        with self._lock:
            self._waiting[kind] += [*[_GOES_WELL] * after, detail]

    def take(self, kind: str) -> tuple[bool, Any]:
        """Whether this fault is due now, and its detail."""
        with self._lock:
            if not self._waiting[kind]:
                return False, None
            detail = self._waiting[kind].pop(0)
            return (False, None) if detail is _GOES_WELL else (True, detail)

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()
