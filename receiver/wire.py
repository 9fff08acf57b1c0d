"""PDUs of an established association, read through one reusable buffer (PS3.8 9.3).

Nothing is kept between PDUs, so an association costs the same memory whatever it brings. The
buffer takes two PDUs of the greatest length: what follows the one that is read may come with it.
"""

import socket
import struct
import time
from collections.abc import Iterator
from typing import Final, NamedTuple, Protocol

_BEFORE: Final = range(0x01, 0x04)
"""PDUs that make an association."""
P_DATA_TF: Final = 0x04
A_RELEASE_RQ: Final = 0x05
A_RELEASE_RP: Final = 0x06
A_ABORT: Final = 0x07

ABORT_SERVICE_USER: Final = 0
ABORT_SERVICE_PROVIDER: Final = 2
NOT_SPECIFIED: Final = 0
UNRECOGNISED_PDU: Final = 1
UNEXPECTED_PDU: Final = 2
INVALID_PARAMETER: Final = 6
"""Reasons of an A-ABORT by the service provider (PS3.8 table 9-26)."""

COMMAND: Final = 1
LAST: Final = 2
"""Bits of the message control header (PS3.8 E.2)."""

_HEAD: Final = struct.Struct(">BxI")
_ITEM: Final = struct.Struct(">IBB")
_PDV_BYTES: Final = 2
"""Context ID and control header count as part of a PDV item's length."""
RENEW_BYTES: Final = 1 << 16
"""The network timeout starts again after so many bytes: no sender may trickle."""


class ProtocolError(Exception):
    """The peer breaks PS3.8. ``reason`` goes into the A-ABORT."""

    def __init__(self, message: str, reason: int = INVALID_PARAMETER) -> None:
        super().__init__(message)
        self.reason = reason


class ConnectionLostError(Exception):
    """The peer has gone without a release."""


class IdleError(Exception):
    """Nothing came for the idle timeout."""


class TooSlowError(Exception):
    """A PDU or a message takes longer than the network timeout."""


class Transport(Protocol):
    """A connected socket, plain or TLS."""

    def receive(self, buffer: memoryview, timeout: float, *, fill: bool, quick: bool = True) -> int:
        """Receive at least a byte; 0 at the end.

        Args:
            buffer: where it goes.
            timeout: seconds to wait for the first byte.
            fill: if possible the whole buffer.
            quick: the sender may wait for our TCP to acknowledge what has come.
        """

    def sendall(self, data: bytes, /) -> None:
        """Send all."""

    def shutdown(self, how: int, /) -> None:
        """End one direction or both."""


class PDV(NamedTuple):
    """One presentation data value, valid until the next PDU is read."""

    context_id: int
    control: int
    fragment: memoryview


class Wire:
    """Reads PDUs, and writes the few that a receiver sends."""

    def __init__(
        self, transport: Transport, *, max_pdu: int, network_timeout: float, idle_timeout: float
    ) -> None:
        """``max_pdu``: bytes of a PDU behind its head, as the acceptor has told the requestor."""
        self._transport = transport
        self._max_pdu = max_pdu
        self._network_timeout = network_timeout
        self._idle_timeout = idle_timeout
        self._buffer = memoryview(bytearray(2 * (max_pdu + _HEAD.size)))
        self._start = self._end = 0
        self._deadline: float | None = None
        self._renew_at = 0

    def between_messages(self) -> None:
        """What comes next may be long in coming."""
        self._deadline = None

    def read(self) -> tuple[int, memoryview]:
        """Type and body of the next PDU; the body is valid until the next call.

        Raises:
            ConnectionLostError: the connection is closed or broken.
            IdleError: no PDU came.
            TooSlowError: a PDU began and did not end, or a message trickles.
            ProtocolError: the PDU is longer than was negotiated, or of no known type.
        """
        if self._start == self._end:
            self._start = self._end = 0
        self._have(_HEAD.size)
        kind, length = _HEAD.unpack_from(self._buffer, self._start)
        if not P_DATA_TF <= kind <= A_ABORT:
            reason = UNEXPECTED_PDU if kind in _BEFORE else UNRECOGNISED_PDU
            raise ProtocolError(f"PDU of type {kind} in an association", reason)
        if length > self._max_pdu:
            raise ProtocolError(f"PDU of {length} bytes, {self._max_pdu} were negotiated")
        self._have(_HEAD.size + length)
        body = self._start + _HEAD.size
        self._start = body + length
        return kind, self._buffer[body : self._start]

    def _have(self, size: int) -> None:
        """Wait until ``size`` bytes of the current PDU are in the buffer."""
        if self._start + size > len(self._buffer):
            rest = bytes(self._buffer[self._start : self._end])
            self._buffer[: len(rest)] = rest
            self._start, self._end = 0, len(rest)
        while self._end - self._start < size:
            self._receive(size - (self._end - self._start))

    def _receive(self, missing: int) -> None:
        """Read what has come; of a body that has begun, wait for all that is missing."""
        fill = self._end > self._start
        end = self._end + missing if fill else len(self._buffer)
        under_way = self._deadline is not None
        try:
            received = self._transport.receive(
                self._buffer[self._end : end], self._patience(), fill=fill, quick=under_way
            )
        except TimeoutError as error:
            if self._deadline is None:
                raise IdleError(f"no PDU for {self._idle_timeout:g} s") from error
            raise TooSlowError(f"too little in {self._network_timeout:g} s") from error
        except OSError as error:
            raise ConnectionLostError(error.strerror or type(error).__name__) from error
        if not received:
            raise ConnectionLostError("closed by the peer")
        self._end += received
        self._renew_at -= received
        if self._deadline is None or self._renew_at <= 0:
            self._deadline = time.monotonic() + self._network_timeout
            self._renew_at = RENEW_BYTES

    def _patience(self) -> float:
        if self._deadline is None:
            return self._idle_timeout
        remaining = self._deadline - time.monotonic()
        if remaining <= 0:
            raise TooSlowError(f"too little in {self._network_timeout:g} s")
        return remaining

    def send(self, data: bytes) -> None:
        """Send whole PDUs.

        Raises:
            ConnectionLostError: they could not be sent, and nothing else can be: the peer would
                take it for the rest of what it has a part of.
        """
        try:
            self._transport.sendall(data)
        except OSError as error:
            self._shut(socket.SHUT_RDWR)
            raise ConnectionLostError(error.strerror or type(error).__name__) from error

    def end_reading(self) -> None:
        """Let a thread that waits in `read` meet the end of the connection."""
        self._shut(socket.SHUT_RD)

    def _shut(self, how: int) -> None:
        try:
            self._transport.shutdown(how)
        except OSError:
            return  # it has ended already


def split(body: memoryview) -> Iterator[PDV]:
    """The presentation data values of a P-DATA-TF PDU.

    Raises:
        ProtocolError: an item's length does not fit.
    """
    position, end = 0, len(body)
    while position < end:
        if end - position < _ITEM.size:
            raise ProtocolError("PDV item is cut off")
        length, context_id, control = _ITEM.unpack_from(body, position)
        following = position + 4 + length
        if length < _PDV_BYTES or following > end:
            raise ProtocolError("PDV item does not fit its PDU")
        yield PDV(context_id, control, body[position + _ITEM.size : following])
        position = following


def message(context_id: int, command: bytes, data_set: bytes = b"", max_pdu: int = 0) -> bytes:
    """A DIMSE message as P-DATA-TF PDUs of at most ``max_pdu`` bytes (0: no limit)."""
    pdus = _pdus(context_id, command, COMMAND, max_pdu)
    return pdus + _pdus(context_id, data_set, 0, max_pdu) if data_set else pdus


def _pdus(context_id: int, data: bytes, control: int, max_pdu: int) -> bytes:
    size = max(max_pdu - _ITEM.size, 1) if max_pdu else len(data)
    *others, last = [data[position : position + size] for position in range(0, len(data), size)]
    pdus = [_pdu(context_id, part, control) for part in others]
    return b"".join((*pdus, _pdu(context_id, last, control | LAST)))


def _pdu(context_id: int, data: bytes, control: int) -> bytes:
    """A PDU of one item."""
    size = len(data)
    return (
        _HEAD.pack(P_DATA_TF, _ITEM.size + size)
        + _ITEM.pack(_PDV_BYTES + size, context_id, control)
        + data
    )


def release_response() -> bytes:
    """A-RELEASE-RP (PS3.8 9.3.7)."""
    return _HEAD.pack(A_RELEASE_RP, 4) + bytes(4)


def abort(source: int, reason: int = NOT_SPECIFIED) -> bytes:
    """A-ABORT (PS3.8 9.3.8)."""
    return _HEAD.pack(A_ABORT, 4) + bytes((0, 0, source, reason))
