"""Connections that have not asked for an association yet: many of them, and a few threads.

Silent connections cost a descriptor each. The loop's thread only waits; what their bytes ask for
(a handshake, parsing) is done by a few workers, none of which ever waits for a peer.
"""

import logging
import select
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from receiver.connection import Connection
from receiver.failures import described
from receiver.greeting import GoneError, Greeting, Refusal, RefusedError

logger = logging.getLogger(__name__)

WORKERS: Final = 4


@dataclass(slots=True)
class _Guest:
    greeting: Greeting
    descriptor: int
    busy: bool = False
    """A worker has it now."""


class WaitingRoom:
    """Lets each connection in until its deadline, and passes it on once it has its request."""

    def __init__(
        self,
        epoll: select.epoll,
        capacity: int,
        complete: Callable[[Connection], None],
        refused: Callable[[Refusal, str, str], None],
    ) -> None:
        """``complete`` is called in a worker; ``refused`` with reason, host and detail."""
        self._epoll = epoll
        self._capacity = capacity
        self._complete = complete
        self._refused = refused
        self._lock = threading.Lock()
        self._guests: dict[int, _Guest] = {}
        """By descriptor; all have the same time, so the first is the first to expire."""
        self._workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="greeting")

    def __len__(self) -> int:
        """How many are waiting."""
        return len(self._guests)

    def enter(self, greeting: Greeting) -> None:
        """Let a connection in, or close it at once when the room is full."""
        guest = _Guest(greeting, greeting.connection.fileno())
        with self._lock:
            full = len(self._guests) >= self._capacity
            if not full:
                self._guests[guest.descriptor] = guest
        if full:
            self._turn_away(greeting, "too_many_connections", "RECEIVER_MAX_CONNECTIONS are there")
        else:
            self._epoll.register(guest.descriptor, select.EPOLLIN | select.EPOLLONESHOT)

    def ready(self, descriptor: int) -> None:
        """Have a worker go on with the connection whose socket is ready."""
        with self._lock:
            guest = self._guests.get(descriptor)
            if guest is None:  # expired in the same round
                return
            guest.busy = True
        self._workers.submit(self._proceed, guest)

    def expire(self) -> float | None:
        """Close those whose time is over; returns the seconds until the next one's is."""
        expired = []
        now, left = time.monotonic(), None
        with self._lock:
            for guest in self._guests.values():
                if guest.greeting.deadline > now:
                    left = guest.greeting.deadline - now
                    break
                expired.append(guest)
            for guest in expired:
                del self._guests[guest.descriptor]
            expired = [guest for guest in expired if not guest.busy]  # else: its worker closes it
        for guest in expired:
            self._close_expired(guest)
        return left

    def close(self) -> None:
        """Close all; nothing is passed on any more once this returns."""
        self._workers.shutdown(cancel_futures=True)
        for guest in self._guests.values():
            guest.greeting.close()
        self._guests.clear()

    def _proceed(self, guest: _Guest) -> None:
        greeting = guest.greeting
        try:
            wait = greeting.proceed()
        except GoneError:
            self._leave(guest)
            logger.debug(
                "connection closed by its peer without an association request",
                extra={"source_ip": greeting.connection.client_address[0]},
            )
            greeting.close()
        except RefusedError as refusal:
            self._leave(guest)
            self._turn_away(greeting, refusal.reason, refusal.detail)
        except Exception as error:  # noqa: BLE001 - a worker has nobody else to tell
            self._leave(guest)
            logger.error("connection given up", extra=described(error))  # noqa: TRY400
            greeting.close()
        else:
            if wait is not None:
                self._wait(guest, wait)
                return
            self._leave(guest)
            self._complete(greeting.connection)

    def _wait(self, guest: _Guest, wait: int) -> None:
        with self._lock:
            guest.busy = False
            present = self._guests.get(guest.descriptor) is guest
            if present:  # under the lock: once it expires, its descriptor may be another's
                self._epoll.modify(guest.descriptor, wait | select.EPOLLONESHOT)
        if not present:
            self._close_expired(guest)

    def _leave(self, guest: _Guest) -> None:
        """Forget a guest; one that has expired is forgotten, and its descriptor never waits again.

        A failed start of TLS has closed the descriptor: by now it may be another guest's.
        """
        with self._lock:
            if self._guests.get(guest.descriptor) is guest:
                del self._guests[guest.descriptor]
                with suppress(OSError):
                    self._epoll.unregister(guest.descriptor)

    def _close_expired(self, guest: _Guest) -> None:
        self._turn_away(guest.greeting, "request_timeout", "no association was requested in time")

    def _turn_away(self, greeting: Greeting, reason: Refusal, detail: str) -> None:
        host = greeting.connection.client_address[0]
        greeting.close()
        self._refused(reason, host, detail)
