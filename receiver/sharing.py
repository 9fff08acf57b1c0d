"""The connections of one port, given to several processes in turn.

A kernel that shares a port out does so by a hash of the addresses: of four senders three may well
meet in one process and wait for each other there, as only one thread of a process runs Python at a
time, while another process has nothing to do.
"""

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
from receiver.failures import described

logger = logging.getLogger(__name__)

_READY: Final = b"ready"
_CONNECTION: Final = b"connection"
_ACCEPTS: Final = 64
_PAUSE_SECONDS: Final = 0.05
"""After a connection could not be accepted for want of descriptors or memory."""


class Sharing:
    """Accepts, and passes on to the places that are ready, in a thread.

    While none is, connections wait in the backlog.
    """

    def __init__(self, port: socket.socket) -> None:
        """Start; ``port`` listens, and is ours until `stop`."""
        self._port = port
        port.setblocking(False)
        self._places: dict[int, socket.socket] = {}
        """By descriptor; not all are ready."""
        self._turns: deque[socket.socket] = deque()
        """Places that are ready, the next one first."""
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
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._places[ours.fileno()] = ours
        self._epoll.register(ours, select.EPOLLIN)
        return theirs

    def stop(self) -> None:
        """Close the port; what was passed on stays with its process."""
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        self._port.close()
        for place in self._places.values():
            place.close()
        self._epoll.close()
        os.close(self._wake)

    def _run(self) -> None:
        while not self._stopping.is_set():
            for descriptor, _ in self._epoll.poll():
                try:
                    if descriptor == self._port.fileno():
                        self._share_out()
                    elif descriptor in self._places:
                        self._hear(self._places[descriptor])
                except Exception as error:  # noqa: BLE001 - the port must stay open
                    self._complaints.tell(
                        "failure", "connection not shared out", extra=described(error)
                    )

    def _hear(self, place: socket.socket) -> None:
        """A process is ready, or has gone."""
        try:
            said = place.recv(len(_READY))
        except OSError:
            said = b""
        if said == _READY:
            self._turns.append(place)
            if len(self._turns) == 1:
                self._epoll.register(self._port, select.EPOLLIN)
            return
        self._epoll.unregister(place)
        del self._places[place.fileno()]
        if place in self._turns:
            self._turns.remove(place)
            if not self._turns:
                self._epoll.unregister(self._port)
        place.close()

    def _share_out(self) -> None:
        for _ in range(_ACCEPTS):
            try:
                connection, _ = self._port.accept()
            except BlockingIOError:
                return
            except OSError as error:  # they stay in the backlog until there is room again
                self._complaints.tell("no_room", "connection not taken: %s", error)
                time.sleep(_PAUSE_SECONDS)
                return
            with connection:
                self._pass_on(connection)

    def _pass_on(self, connection: socket.socket) -> None:
        for _ in range(len(self._turns)):
            place = self._turns[0]
            self._turns.rotate(-1)
            try:
                socket.send_fds(place, [_CONNECTION], [connection.fileno()])
            except OSError:
                continue  # it has died, or does not keep up
            return
        self._complaints.tell("no_place", "connection closed: no process takes it")


def announce_ready(place: socket.socket) -> None:
    """Tell whoever shares out that this process takes connections."""
    with suppress(OSError):  # it has gone: `take` tells
        place.send(_READY)


def take(place: socket.socket) -> tuple[socket.socket, tuple[str, int]]:
    """The next connection that was passed on, and its address as `socket.accept` tells it.

    Raises:
        BlockingIOError: there is none now.
        EOFError: there will be none any more.
        OSError: its sender has gone.
    """
    said, descriptors, _, _ = socket.recv_fds(place, len(_CONNECTION), 1, socket.MSG_CMSG_CLOEXEC)
    if not descriptors:
        if said:
            raise OSError("a connection came without its descriptor: too many files are open")
        raise EOFError
    connection = socket.socket(fileno=descriptors[0])
    try:
        return connection, connection.getpeername()
    except OSError:
        connection.close()
        raise
