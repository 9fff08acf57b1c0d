"""The sockets that pynetdicom gets: bounded until an association stands, and closed for certain."""

import select
import socket
import ssl
import struct
import threading
import time
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Final

from dicom_pipeline.peers import ClientCertificate

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

MAX_REQUEST_BYTES: Final = 1 << 20
"""No honest A-ASSOCIATE-RQ is longer: 128 contexts with 40 transfer syntaxes need 200 KB."""

_TIMEVAL: Final = struct.Struct("@ll")
_PATIENCE_STEP: Final = 0.05
"""Seconds by which a time-out may be wrong, rather than to be set anew for each read."""
_QUICK_ACK: Final[int | None] = getattr(socket, "TCP_QUICKACK", None)


class Connection(socket.socket):
    """A sender's connection. Until `established`, `recv` has a total deadline and budget.

    Its descriptor may be above 1023: wait for it with ``poll`` or ``epoll``, never ``select``.
    """

    client_address: tuple[str, int] = ("", 0)
    """Host and port of the sender itself: a balancer's header has told it, or else TCP."""
    certificate: ClientCertificate | None = None
    """The verified certificate of the sender."""

    _deadline: float | None = None
    _budget = MAX_REQUEST_BYTES
    _timeout: float | None = None
    _ahead: bytes = b""
    _patience: float = 0.0

    @property
    def certificate_sha256(self) -> str | None:
        """Fingerprint of the sender's certificate: 64 lower-case hexadecimal digits."""
        return self.certificate and self.certificate.sha256

    @property
    def certificate_subject(self) -> str | None:
        """Subject of the sender's certificate as a string (RFC 4514)."""
        return self.certificate and self.certificate.subject

    def begin(
        self, client_address: tuple[str, int], *, deadline: float, network_timeout: float
    ) -> None:
        """Set the bounds: ``deadline`` by the monotonic clock, ``network_timeout`` in seconds."""
        self.client_address = client_address
        self._deadline = deadline
        self._timeout = network_timeout
        with suppress(OSError):  # already reset by the peer: the next read tells
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def hand_over(self, request: bytes) -> None:
        """Become a blocking socket again, whose next reads return ``request`` first."""
        self._ahead = request
        self.settimeout(self._timeout)

    def established(self) -> None:
        """From now on each read has its own timeout, and nothing else is bounded here."""
        self._deadline = None
        with suppress(OSError):  # closed meanwhile: the next read tells
            self.settimeout(self._timeout)

    def quick_ack(self) -> None:
        """Acknowledge what has come at once: a sender may wait for it before it sends on.

        Senders that write a PDU's head and body apart, with Nagle's algorithm on, lose some
        40 ms at each otherwise. The kernel forgets the option, so it is set at every read.
        """
        if _QUICK_ACK is not None:
            with suppress(OSError):
                self.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)

    def pending(self) -> int:
        """Bytes that can be read although ``poll`` may not know of them."""
        return len(self._ahead)

    def recv(self, bufsize: int = 1024, flags: int = 0, /) -> bytes:
        """Some bytes; none at the end.

        Raises:
            TimeoutError: there was no association by the deadline; or, once there is one, the
                sender was silent for too long.
            ConnectionAbortedError: it has sent more than an association request can be long.
        """
        if self._ahead:
            data, self._ahead = self._ahead[:bufsize], self._ahead[bufsize:]
            return data
        if self._deadline is None:
            self.quick_ack()
            return super().recv(bufsize, flags)
        return self._recv_request(bufsize, flags, self._deadline)

    def _recv_request(self, bufsize: int, flags: int, deadline: float) -> bytes:
        if self.gettimeout() != 0:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no association was requested in time")
            self.settimeout(left)
        if self._budget <= 0:
            raise ConnectionAbortedError("more bytes than an association request can have")
        self.quick_ack()
        data = super().recv(min(bufsize, self._budget), flags)
        if not flags & socket.MSG_PEEK:
            self._budget -= len(data)
        return data

    def receive(self, buffer: memoryview, timeout: float, *, fill: bool, quick: bool = True) -> int:
        """Receive at least a byte, or wait until the buffer is full; 0 at the end.

        The kernel waits, not Python: each wake-up costs more than to copy what has come.

        Raises:
            TimeoutError: nothing came for ``timeout`` seconds.
        """
        self._expect_within(timeout)
        if quick:
            self.quick_ack()
        try:
            return super().recv_into(buffer, 0, socket.MSG_WAITALL if fill else 0)
        except BlockingIOError as error:
            raise TimeoutError from error

    def sendall(self, data: "ReadableBuffer", flags: int = 0, /) -> None:
        """As usual, but within the network timeout: a peer may read, and yet take for ever."""
        if self._timeout is None:
            super().sendall(data, flags)
            return
        deadline = time.monotonic() + self._timeout
        rest = memoryview(data)
        while rest:
            if time.monotonic() >= deadline:
                raise TimeoutError("the peer reads too slowly")
            rest = rest[self.send(rest, flags) :]

    def _expect_within(self, seconds: float) -> None:
        if self.gettimeout() is not None:
            self.settimeout(None)
            self._set_timeout(socket.SO_SNDTIMEO, self._timeout or seconds)
        if abs(seconds - self._patience) > _PATIENCE_STEP:
            self._set_timeout(socket.SO_RCVTIMEO, seconds)
            self._patience = seconds

    def _set_timeout(self, option: int, seconds: float) -> None:
        whole, fraction = divmod(max(seconds, 0.001), 1)
        self.setsockopt(
            socket.SOL_SOCKET, option, _TIMEVAL.pack(int(whole), int(fraction * 1_000_000))
        )

    def shutdown(self, how: int, /) -> None:
        """As usual, but a connection that the peer has reset is no error.

        pynetdicom skips ``close`` when this raises, and the descriptor would stay open.
        """
        with suppress(OSError, ValueError):
            super().shutdown(how)


class TlsConnection(Connection, ssl.SSLSocket):
    """The same over TLS: made by a context whose ``sslsocket_class`` it is."""

    def pending(self) -> int:
        """Bytes that were deciphered and not read yet."""
        return super().pending() + ssl.SSLSocket.pending(self)

    def shutdown(self, how: int, /) -> None:
        """See `Connection.shutdown`.

        ``SSLSocket`` gives up TLS here: what another thread sends would go out in the clear, and
        what has come would be read as it is.
        """
        with suppress(OSError, ValueError):
            socket.socket.shutdown(self, how)

    @cached_property
    def _one_at_a_time(self) -> threading.Lock:
        """OpenSSL's state must not be used by a reading and a writing thread at once."""
        return threading.Lock()

    def receive(
        self,
        buffer: memoryview,
        timeout: float,
        *,
        fill: bool,  # noqa: ARG002 - a record at a time
        quick: bool = True,  # noqa: ARG002 - always, once there is nothing to decipher
    ) -> int:
        """See `Connection.receive`; meanwhile another thread may send."""
        deadline = time.monotonic() + timeout
        while True:
            with self._one_at_a_time:
                self.settimeout(0)
                with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    return ssl.SSLSocket.recv_into(self, buffer)
            self.quick_ack()
            if not self._ready(select.POLLIN, deadline):
                raise TimeoutError

    def sendall(self, data: "ReadableBuffer", flags: int = 0, /) -> None:
        """As usual; meanwhile another thread may receive."""
        deadline = time.monotonic() + (self._timeout or 0)
        rest = memoryview(data)
        while rest:
            with self._one_at_a_time:
                self.settimeout(0)
                with suppress(ssl.SSLWantReadError, ssl.SSLWantWriteError):
                    rest = rest[ssl.SSLSocket.send(self, rest, flags) :]
                    continue
            if not self._ready(select.POLLOUT, deadline):
                raise TimeoutError

    def _ready(self, event: int, deadline: float) -> bool:
        poll = select.poll()
        poll.register(self, event)
        return bool(poll.poll(max(0.0, deadline - time.monotonic()) * 1000))
