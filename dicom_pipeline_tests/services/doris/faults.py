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
SLOW_QUERY = "the answer to a statement takes a while"
REFUSED_QUERY = "a statement is refused with a message"
HOLD_AT_FRONTEND = "a frontend does not answer until it is let"
HOLD_IN_BODY = "a backend stops reading in the middle of the body until it is let"
HOLD_BEFORE_ANSWER = "a load is done, and its answer waits until it is let"

KINDS = (
    HOLD_AT_FRONTEND,
    HOLD_IN_BODY,
    HOLD_BEFORE_ANSWER,
    PUBLISH_TIMEOUT,
    LOSE_ANSWER,
    DIE_IN_BODY,
    ABORT_IN_BODY,
    FAIL,
    SLOW,
    STATUS,
    LOST_QUERY,
    SLOW_QUERY,
    REFUSED_QUERY,
)


class Hold:
    """Something that waits in the middle of things."""

    def __init__(self) -> None:
        self._reached, self._let = threading.Event(), threading.Event()

    def wait_there(self) -> None:
        self._reached.set()
        self._let.wait(30)

    def wait_until_reached(self) -> None:
        assert self._reached.wait(30), "nothing came here"

    def let_go(self) -> None:
        self._let.set()


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

    def hold(self, kind: str) -> None:
        """Wait here, if that was asked for."""
        due, hold = self.take(kind)
        if due:
            hold.wait_there()

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()
