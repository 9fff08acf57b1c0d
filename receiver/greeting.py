"""One connection's way to its association request: PROXY header, TLS, then one whole PDU.

Nothing here waits: each step does what the bytes that have come allow, and says what to wait for.
"""

import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import suppress
from enum import IntEnum
from typing import Final, Literal

from pynetdicom.pdu import A_ABORT_RQ, A_ASSOCIATE_RQ

from receiver.certificates import client_certificate
from receiver.connection import MAX_REQUEST_BYTES, Connection, TlsConnection
from receiver.proxy_protocol import MAX_V2, ProxyHeaderError, parse_header

Refusal = Literal[
    "too_many_connections", "request_timeout", "proxy_header", "tls", "invalid_request"
]
"""Why a connection was closed before there was an association."""

_HEAD: Final = struct.Struct(">BxL")
"""Type and length of a PDU: PS3.8 9.3.1."""
_A_ASSOCIATE_RQ: Final = 0x01
_PDU_TYPES: Final = range(0x01, 0x08)
_SHORT: Final = 1 << 16
"""Bytes of a request that anybody may send; of longer ones only so many are read at a time."""
_LONG_REQUESTS: Final = threading.BoundedSemaphore(32)

_VERSION: Final = _HEAD.size
_VERSION_1: Final = b"\0\1"
_VERSION_NOT_SUPPORTED: Final = b"\x03\0\0\0\0\4\0\1\2\2"
"""A-ASSOCIATE-RJ: permanent, by the service provider for ACSE: PS3.8 9.3.4."""

_SERVICE_PROVIDER: Final = 2
_UNRECOGNISED_PDU: Final = 1
_UNEXPECTED_PDU: Final = 2
_INVALID_VALUE: Final = 6
"""A-ABORT: PS3.8 9.3.8."""


class Wait(IntEnum):
    """What the socket must be ready for before the next step."""

    READ = select.POLLIN
    WRITE = select.POLLOUT


class RefusedError(Exception):
    """The connection is to be closed, and this is to be told."""

    def __init__(self, reason: Refusal, detail: str) -> None:
        """``detail`` quotes nothing that the peer has sent."""
        super().__init__(detail)
        self.reason: Refusal = reason
        self.detail = detail


class GoneError(Exception):
    """The peer has closed the connection, as health probes do: there is nothing to tell."""


class Greeting:
    """A connection, and how far it has come."""

    def __init__(
        self,
        connection: Connection,
        *,
        deadline: float,
        network_timeout: float,
        behind_proxy: bool,
        tls: Callable[[], ssl.SSLContext | None],
    ) -> None:
        """``deadline``, by the monotonic clock, is for the caller to keep."""
        self.connection = connection
        """The socket at present: TLS replaces it by one of the same descriptor."""
        self.deadline = deadline
        self._network_timeout = network_timeout
        self._behind_proxy = behind_proxy
        self._tls = tls
        self._steps = self._run()

    def proceed(self) -> Wait | None:
        """Go on as far as possible; None: `connection` holds a whole, valid request.

        Raises:
            RefusedError: the connection must be closed.
            GoneError: the peer has done so.
        """
        try:
            return next(self._steps, None)
        except OSError as error:
            raise GoneError from error

    def close(self) -> None:
        """Close the connection; not while it proceeds."""
        self._steps.close()
        self.connection.close()

    def _run(self) -> Generator[Wait, None, None]:
        self.connection.setblocking(False)
        if self._behind_proxy:
            yield from self._read_proxy_header()
        context = self._tls()
        if context is not None:
            yield from self._shake_hands(context)
        request = yield from self._read_request()
        self.connection.hand_over(request)

    def _read_proxy_header(self) -> Generator[Wait, None, None]:
        """Take the header off, not a byte more, and believe its address."""
        data, header = b"", None
        while header is None:
            seen = yield from self._some(MAX_V2 - len(data), socket.MSG_PEEK)
            try:
                header = parse_header(data + seen)
            except ProxyHeaderError as error:
                raise RefusedError("proxy_header", str(error)) from error
            used = len(seen) if header is None else header.length - len(data)
            data += yield from self._some(used)
        if header.client is not None:
            self.connection.client_address = header.client

    def _shake_hands(self, context: ssl.SSLContext) -> Generator[Wait, None, None]:
        plain = self.connection
        yield from self._some(1, socket.MSG_PEEK)  # a probe has gone by now
        secure = context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False)
        assert isinstance(secure, TlsConnection)
        self.connection = secure
        secure.begin(
            plain.client_address, deadline=self.deadline, network_timeout=self._network_timeout
        )
        while True:
            try:
                secure.do_handshake()
                break
            except ssl.SSLWantReadError:
                wait = Wait.READ
            except ssl.SSLWantWriteError:
                wait = Wait.WRITE
            except (OSError, ValueError) as error:
                raise RefusedError("tls", _tls_problem(error)) from error
            yield wait
        secure.certificate = client_certificate(secure)

    def _read_request(self) -> Generator[Wait, None, bytes]:
        """The first PDU, in full: pynetdicom would keep two threads waiting for its rest."""
        data = bytearray()
        while len(data) < _HEAD.size:
            data += yield from self._some(_HEAD.size - len(data))
        kind, length = _HEAD.unpack(data)
        if kind != _A_ASSOCIATE_RQ:
            known = kind in _PDU_TYPES
            self._abort(_UNEXPECTED_PDU if known else _UNRECOGNISED_PDU)
            raise RefusedError("invalid_request", "the first PDU is no A-ASSOCIATE-RQ")
        size = _HEAD.size + length
        if size > MAX_REQUEST_BYTES:
            self._abort(_INVALID_VALUE)
            raise RefusedError("invalid_request", f"an A-ASSOCIATE-RQ of {size} bytes")
        if size <= _SHORT:
            request = yield from self._read_rest(data, size)
        elif _LONG_REQUESTS.acquire(blocking=False):
            try:
                request = yield from self._read_rest(data, size)
            finally:
                _LONG_REQUESTS.release()
        else:
            raise RefusedError("too_many_connections", "too many long requests at a time")
        self._check(request)
        # pynetdicom refuses versions that have a second one; only bit 0 counts: PS3.8 9.3.2.
        return request[:_VERSION] + _VERSION_1 + request[_VERSION + len(_VERSION_1) :]

    def _check(self, request: bytes) -> None:
        """Refuse what pynetdicom would stumble over: one of its threads would wait for more."""
        pdu = A_ASSOCIATE_RQ()
        try:
            pdu.decode(request)
            contexts = pdu.to_primitive().presentation_context_definition_list
            whole = all(each.abstract_syntax and each.transfer_syntax for each in contexts)
        except Exception as error:  # whatever it is, the sender must get its answer
            self._abort(_INVALID_VALUE)
            raise RefusedError("invalid_request", "the A-ASSOCIATE-RQ is malformed") from error
        if not whole:
            self._abort(_INVALID_VALUE)
            raise RefusedError("invalid_request", "a presentation context lacks its syntaxes")
        if not pdu.protocol_version & 1:
            self._answer(_VERSION_NOT_SUPPORTED)
            raise RefusedError("invalid_request", "not version 1 of the protocol")

    def _read_rest(self, data: bytearray, size: int) -> Generator[Wait, None, bytes]:
        while len(data) < size:
            data += yield from self._some(min(size - len(data), _SHORT))
        return bytes(data)

    def _some(self, size: int, flags: int = 0) -> Generator[Wait, None, bytes]:
        """At least one byte, at most ``size``."""
        while True:
            try:
                data = self.connection.recv(size, flags)
                break
            except (BlockingIOError, ssl.SSLWantReadError):
                wait = Wait.READ
            except ssl.SSLWantWriteError:
                wait = Wait.WRITE
            except ssl.SSLError as error:
                raise RefusedError("tls", _tls_problem(error)) from error
            yield wait
        if not data:
            raise GoneError
        return data

    def _abort(self, reason: int) -> None:
        """Send an A-ABORT, as action AA-1 of PS3.8 9.2.3 asks for."""
        pdu = A_ABORT_RQ()
        pdu.source, pdu.reason_diagnostic = _SERVICE_PROVIDER, reason
        self._answer(pdu.encode())

    def _answer(self, data: bytes) -> None:
        """Tell the peer why, if it will listen: it does not once its own bytes meet a reset."""
        with suppress(OSError):
            self.connection.send(data)
            self.connection.recv(_SHORT)


def _tls_problem(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the sender's certificate: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError | ConnectionError):
        return "the sender has closed the connection during the handshake"
    reason = getattr(error, "reason", None) or type(error).__name__
    return _TLS_PROBLEMS.get(reason, reason.lower().replace("_", " "))


_TLS_PROBLEMS: Final = {
    "WRONG_VERSION_NUMBER": "the sender does not speak TLS",
    "HTTP_REQUEST": "the sender does not speak TLS",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the sender has shown no certificate",
    "UNSUPPORTED_PROTOCOL": "the sender offers only TLS 1.1 or older",
    "NO_SHARED_CIPHER": "the sender offers no cipher suite of BCP 195",
}
