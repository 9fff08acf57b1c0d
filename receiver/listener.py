"""The port: accepts connections, and gives pynetdicom those that have asked for an association.

pynetdicom's own server wraps TLS in its accept loop and starts two threads, polling at 1 kHz, for
every connection, whether it says something or not. Here they wait in `receiver.waiting_room`.
"""

import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any, Final

from pynetdicom import AE, evt
from pynetdicom.presentation import PresentationContext
from pynetdicom.transport import AssociationServer

from dicom_pipeline.settings import Settings
from receiver.complaints import Complaints
from receiver.connection import Connection
from receiver.descriptors import NO_ROOM, capacity, parked
from receiver.failures import described
from receiver.greeting import Greeting, Refusal
from receiver.polled_socket import lift_bounds, wait_by_poll
from receiver.sharing import announce_ready, take
from receiver.tls import CHECK_SECONDS, ReloadingTls
from receiver.waiting_room import WaitingRoom

logger = logging.getLogger(__name__)

_BACKLOG: Final = 512
_ACCEPTS: Final = 64
"""Connections taken in one round, so that those that wait have their turn."""
_PAUSE_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class ListenerHooks:
    """Who is told what happens before an association; called in any thread."""

    connection_refused: Callable[[Refusal], None] = lambda _: None


def start_listener(  # noqa: PLR0913 - what pynetdicom's start_server takes, and the settings
    entity: AE,
    settings: Settings,
    *,
    contexts: Sequence[PresentationContext],
    evt_handlers: Sequence[Any],
    hooks: ListenerHooks | None = None,
    place: socket.socket | None = None,
    tls_check_seconds: float = CHECK_SECONDS,
) -> "Listener":
    """Listen on the settings' host and port, in a thread.

    Args:
        entity: as for `pynetdicom.AE.start_server`.
        settings: host, port, TLS, PROXY networks, limits and timeouts.
        contexts: copied deeply for each connection, so best one; EVT_REQUESTED sets the others.
        evt_handlers: as for `pynetdicom.AE.start_server`.
        hooks: who is told of refused connections.
        place: where connections are taken that another process has accepted at this port, see
            `receiver.sharing`; None: they are accepted here.
        tls_check_seconds: how often, at most, the TLS files are looked at for changes.

    Raises:
        ConfigurationError: the settings of TLS, or their files, are of no use.
        OSError: the address cannot be bound.
    """
    tls = ReloadingTls(settings, tls_check_seconds)
    listener = entity.make_server(
        (settings.receiver_host, settings.receiver_port),
        contexts=list(contexts),
        evt_handlers=list(evt_handlers),
        server_class=Listener,
        settings=settings,
        tls=tls,
        hooks=hooks or ListenerHooks(),
        place=place,
    )
    assert isinstance(listener, Listener)
    listener.start()
    return listener


class Listener(AssociationServer):
    """pynetdicom's server, with another way from the port to its associations."""

    request_queue_size = _BACKLOG

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - pynetdicom's own, passed on
        settings: Settings,
        tls: ReloadingTls,
        hooks: ListenerHooks,
        place: socket.socket | None,
        **kwargs: Any,  # noqa: ANN401
    ) -> None:
        """Bind the port, unless there is a place. Use `start_listener`."""
        self._settings = settings
        self._place = place
        self._ended = False
        """Nothing comes to the place any more."""
        self._tls = tls
        self._hooks = hooks
        super().__init__(*args, **kwargs)
        self._listening.setblocking(False)
        self.bind(evt.EVT_CONN_OPEN, wait_by_poll)
        self.bind(evt.EVT_ACCEPTED, lift_bounds)
        self._complaints = Complaints()
        self._stopping = threading.Event()
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self.serve_forever, name="listener", daemon=True)

    @property
    def port(self) -> int:
        """The real one."""
        return int(self.server_address[1])

    @property
    def _listening(self) -> socket.socket:
        assert self.socket is not None
        return self.socket

    def server_bind(self) -> None:
        """Bind the port, or have the place instead of it."""
        if self._place is None:
            super().server_bind()
            return
        self._listening.close()
        self.socket = self._place

    def server_activate(self) -> None:
        """Listen; a place is ready once it is served."""
        if self._place is None:
            super().server_activate()

    def start(self) -> None:
        """Serve in a thread."""
        self._thread.start()
        if self._place is not None:
            announce_ready(self._place)

    def serve_forever(self, poll_interval: float | None = None) -> None:
        """Accept, and let connections wait, until `shutdown`.

        pynetdicom's ``service_actions``, a ``gc.collect()`` at intervals that stops all threads
        for some 40 ms, is not called: Python collects by itself.
        """
        with select.epoll() as epoll:
            room = WaitingRoom(
                epoll,
                capacity(self._settings.receiver_max_connections),
                self._associate,
                self._refused,
            )
            port = self._listening.fileno()
            epoll.register(port, select.EPOLLIN)
            epoll.register(self._wake, select.EPOLLIN)
            try:
                while not (self._ended or self._stopping.is_set()):
                    left = room.expire()
                    for descriptor, _ in epoll.poll(poll_interval if left is None else left):
                        try:
                            if descriptor == port:
                                self._accept(room)
                            else:
                                room.ready(descriptor)
                        except Exception as error:  # noqa: BLE001 - the port must stay open
                            self._complaints.tell(
                                "failure", "connection not served", extra=described(error)
                            )
            finally:
                self.server_close()
                room.close()

    def certificate_expiry(self) -> float:
        """See `ReloadingTls.expiry`."""
        return self._tls.expiry()

    def alive(self) -> bool:
        """Whether the port is served."""
        return self._thread.is_alive()

    def shutdown(self) -> None:
        """Close the port and every connection that waits; associations go on."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        os.eventfd_write(self._wake, 1)
        if self._thread.is_alive():
            self._thread.join()
        else:
            self.server_close()
        os.close(self._wake)

    def get_request(self) -> tuple[Connection, tuple[str, int]]:
        """One accepted connection and its address."""
        listening = self._listening
        plain, address = listening.accept() if self._place is None else take(listening)
        connection = Connection(plain.family, plain.type, plain.proto, fileno=parked(plain))
        return connection, _unmapped(address)

    def _accept(self, room: WaitingRoom) -> None:
        for _ in range(_ACCEPTS):
            try:
                connection, address = self.get_request()
            except BlockingIOError:
                return
            except EOFError:  # the process that shares out has gone
                self._ended = True
                return
            except OSError as error:
                if error.errno in NO_ROOM:  # they stay in the backlog until there is room again
                    self._complaints.tell("no_descriptors", "connection not taken: %s", error)
                    time.sleep(_PAUSE_SECONDS)
                return
            settings = self._settings
            deadline = time.monotonic() + settings.receiver_request_timeout_seconds
            connection.begin(
                address,
                deadline=deadline,
                network_timeout=settings.receiver_network_timeout_seconds,
            )
            room.enter(
                Greeting(
                    connection,
                    deadline=deadline,
                    network_timeout=settings.receiver_network_timeout_seconds,
                    behind_proxy=_within(address[0], settings.receiver_proxy_networks),
                    tls=self._tls.context,
                )
            )

    def _associate(self, connection: Connection) -> None:
        """Have pynetdicom start its threads for a connection whose request is there."""
        if self._stopping.is_set():
            connection.close()
            return
        try:
            self.finish_request(connection, connection.client_address)
        except Exception as error:  # noqa: BLE001 - no more threads, say: this one connection ends
            logger.error("association not started", extra=described(error))  # noqa: TRY400
            connection.close()

    def _refused(self, reason: Refusal, host: str, detail: str) -> None:
        self._complaints.tell(
            reason, "connection refused: %s", detail, extra={"reason": reason, "source_ip": host}
        )
        self._hooks.connection_refused(reason)


def _unmapped(address: tuple[Any, ...]) -> tuple[str, int]:
    """Host and port; an IPv4 address that an IPv6 socket shows as ``::ffff:`` is IPv4."""
    host = str(address[0])
    mapped = host.lower().removeprefix("::ffff:")
    return (mapped if "." in mapped else host), int(address[1])


def _within(host: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    address = ip_address(host.partition("%")[0])
    return any(address in network for network in networks)
