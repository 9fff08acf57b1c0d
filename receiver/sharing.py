"""The connections of one port, given to several processes in turn.

A kernel that shares a port out does so by a hash of the addresses: of four senders three may well
meet in one process and wait for each other there, as only one thread of a process runs Python at a
time, while another process has nothing to do.
"""

import errno
import logging
import os
import select
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from typing import Final

from receiver.complaints import Complaints
from receiver.descriptors import NO_ROOM
from receiver.failures import described

logger = logging.getLogger(__name__)

_READY: Final = b"ready"
_CONNECTION: Final = b"connection"
_BACKLOG: Final = 512
_ACCEPTS: Final = 64
_PAUSE_SECONDS: Final = 0.05
"""Until the next attempt when there was no room: for a descriptor, or at any place."""


class Sharing:
    """Listens once a place is ready, and passes what it accepts on to those that are, in a thread.

    While none is any more, connections wait in the backlog.
    """

    def __init__(self, port: socket.socket) -> None:
        """Start; ``port`` is bound, and ours until `stop`."""
        self._port = port
        port.setblocking(False)
        self._listening = self._watched = False
        self._places: dict[int, socket.socket] = {}
        """By descriptor; not all are ready."""
        self._turns: deque[socket.socket] = deque()
        """Places that are ready, the next one first."""
        self._held: socket.socket | None = None
        """A connection that no place had room for."""
        self._complaints = Complaints()
        self._stopping = threading.Event()
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._thread = threading.Thread(target=self._run, name="sharing", daemon=True)
        self._thread.start()

    def place(self) -> socket.socket:
        """A new place: the socket at which a process takes connections (`take`).

        The caller hands it to a process and closes it. The place lasts as long as the process.

        Raises:
            OSError: too many files are open.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._places[ours.fileno()] = ours
        self._epoll.register(ours, select.EPOLLIN)
        return theirs

    def alive(self) -> bool:
        """Whether connections are shared out: a thread that has ended does not come back."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """Close the port; what was passed on stays with its process."""
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._port.close()
        for place in self._places.values():
            place.close()
        if self._held:
            self._held.close()
        self._epoll.close()
        os.close(self._wake)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._round()
        except Exception as error:  # noqa: BLE001 - whoever looks at `alive` ends the process
            logger.critical("connections are not shared out any more", extra=described(error))

    def _round(self) -> None:
        """Hear the places first: whoever has gone gets nothing."""
        events = self._epoll.poll(_PAUSE_SECONDS if self._held and self._turns else None)
        for descriptor, _ in events:
            if place := self._places.get(descriptor):
                self._hear(place)
        if self._turns:
            self._share_out()
        watched = bool(self._turns) and self._held is None
        if watched != self._watched:
            change = self._epoll.register if watched else self._epoll.unregister
            change(self._port)
            self._watched = watched

    def _hear(self, place: socket.socket) -> None:
        """A process is ready, or has gone."""
        try:
            said = place.recv(len(_READY))
        except OSError:
            said = b""
        if said == _READY:
            self._turns.append(place)
            if not self._listening:
                self._port.listen(_BACKLOG)
                self._listening = True
            return
        self._epoll.unregister(place)
        del self._places[place.fileno()]
        with suppress(ValueError):  # it was never ready
            self._turns.remove(place)
        place.close()

    def _share_out(self) -> None:
        for _ in range(_ACCEPTS):
            connection = self._held or self._accept()
            if connection is None:
                return
            if not self._pass_on(connection):
                self._held = connection
                self._complaints.tell("no_place", "connections wait: no process takes them")
                return
            self._held = None
            connection.close()

    def _accept(self) -> socket.socket | None:
        try:
            connection, _ = self._port.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in NO_ROOM:  # they stay in the backlog until there is room again
                self._complaints.tell("no_descriptors", "connection not taken: %s", error)
                time.sleep(_PAUSE_SECONDS)
            return None
        return connection

    def _pass_on(self, connection: socket.socket) -> bool:
        for _ in range(len(self._turns)):
            place = self._turns[0]
            self._turns.rotate(-1)
            try:
                socket.send_fds(place, [_CONNECTION], [connection.fileno()])
            except OSError:
                continue  # it has died, or does not keep up
            return True
        return False


def announce_ready(place: socket.socket) -> None:
    """Tell whoever shares out that this process takes connections."""
    with suppress(OSError):  # it has gone: `take` tells
        place.send(_READY)


def take(place: socket.socket) -> tuple[socket.socket, tuple[str, int]]:
    """The next connection that was passed on, and its address as `socket.accept` tells it.

    Raises:
        BlockingIOError: there is none now.
        EOFError: there will be none any more.
        OSError: its sender has gone, or too many files are open: then it stays where it is.
    """
    os.close(os.dup(place.fileno()))  # is there room for its descriptor? What is taken is taken
    said, descriptors, _, _ = socket.recv_fds(place, len(_CONNECTION), 1, socket.MSG_CMSG_CLOEXEC)
    if not descriptors:
        if said:
            raise OSError(errno.EMFILE, "a connection came without its descriptor")
        raise EOFError
    connection = socket.socket(fileno=descriptors[0])
    try:
        return connection, connection.getpeername()
    except OSError:
        connection.close()
        raise
