"""The DICOM upper layer as a sender of C-STORE needs it, in bytes (PS3.8 chapter 9, PS3.7 9.1.1).

Only the standard library, and nothing of the product: a benchmark's sender must not share its
receiver's mistakes.
"""

import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.template import Template, find, patch, uids

APPLICATION_CONTEXT: Final = "1.2.840.10008.3.1.1.1"
EXPLICIT_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
IMPLEMENTATION_CLASS: Final = "1.2.826.0.1.3680043.8.498.9"
CALLING_AE: Final = "BENCH"

CONTEXT_ID: Final = 1
LARGEST_PDU: Final = 1 << 20
"""What we send at most, where the acceptor sets no limit or a larger one."""

_RQ, _AC, _DATA, _RELEASE_RQ, _RELEASE_RP = 1, 2, 4, 5, 6
_COMMAND_LAST, _DATA_SET, _DATA_SET_LAST = 3, 0, 2
_PDU_HEAD: Final = 6
_ANSWERED: Final = struct.pack("<HHI", 0, 0x0120, 2)
"""Header of MessageIDBeingRespondedTo."""
_STATUS: Final = struct.pack("<HHI", 0, 0x0900, 2)


class WireError(Exception):
    """The acceptor did something else than was expected."""


@dataclass
class Association:
    """A connected socket after negotiation."""

    socket: socket.socket
    max_pdu: int
    """PDU length to send."""
    _received: bytes = b""

    def wait_in_kernel(self) -> None:
        """Let the kernel mind the time-out: to ask it before each call takes a call more."""
        limit = struct.pack("@ll", int(self.socket.gettimeout() or 0), 0)
        self.socket.settimeout(None)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)

    def pdu(self) -> tuple[int, bytes]:
        """The next PDU: its type and its variable field.

        Raises:
            WireError: the connection ended.
        """
        received = self._received
        while (end := _end(received)) > len(received):
            # Acceptors write a response's head on its own, with Nagle's algorithm on: unless we
            # acknowledge it at once they wait 40 ms, and all would look alike. Not sticky.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            data = self.socket.recv(65536)
            if not data:
                raise WireError("connection closed by the acceptor")
            received += data
        self._received = received[end:]
        return received[0], received[_PDU_HEAD:end]

    def status(self, message_id: int) -> int:
        """Status of the next response, which must answer ``message_id``.

        Raises:
            WireError: something else came, or nothing more will.
        """
        kind, body = self.pdu()
        if kind != _DATA:
            raise WireError(f"PDU of type {kind} instead of a C-STORE response: {body.hex()}")
        answered, rest = _number(body, _ANSWERED)
        if answered != message_id:
            raise WireError(f"response to message {answered} instead of {message_id}")
        return _number(rest, _STATUS)[0]

    def release(self) -> None:
        """A-RELEASE and close."""
        self.socket.sendall(struct.pack(">BxIxxxx", _RELEASE_RQ, 4))
        kind, _ = self.pdu()
        self.socket.close()
        if kind != _RELEASE_RP:
            raise WireError(f"PDU of type {kind} instead of A-RELEASE-RP")


def associate(
    port: int, called: str, sop_class_uid: str, timeout: float = 60, host: str = "127.0.0.1"
) -> Association:
    """Connect and negotiate one presentation context in Explicit VR Little Endian.

    Raises:
        WireError: it was not accepted.
    """
    connection = socket.create_connection((host, port), timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.sendall(associate_request(called, sop_class_uid))
    association = Association(connection, 0)
    kind, body = association.pdu()
    if kind != _AC:
        raise WireError(f"association not accepted: PDU of type {kind}: {body.hex()}")
    association.max_pdu = min(_accepted(body) or LARGEST_PDU, LARGEST_PDU)
    return association


def associate_request(called: str, sop_class_uid: str) -> bytes:
    """A-ASSOCIATE-RQ (PS3.8 9.3.2)."""
    context = struct.pack(">B3x", CONTEXT_ID) + b"".join(
        (_item(0x30, sop_class_uid.encode()), _item(0x40, EXPLICIT_LITTLE_ENDIAN.encode()))
    )
    user = _item(0x51, struct.pack(">I", LARGEST_PDU)) + _item(0x52, IMPLEMENTATION_CLASS.encode())
    body = (
        struct.pack(">Hxx16s16s32x", 1, called.ljust(16).encode(), CALLING_AE.ljust(16).encode())
        + _item(0x10, APPLICATION_CONTEXT.encode())
        + _item(0x20, context)
        + _item(0x50, user)
    )
    return struct.pack(">BxI", _RQ, len(body)) + body


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def _accepted(body: bytes) -> int:
    """The acceptor's maximum PDU length (0: no limit); the context must be accepted."""
    max_pdu, context = 0, None
    position = 68
    while position < len(body):
        kind, length = struct.unpack_from(">BxH", body, position)
        value = body[position + 4 : position + 4 + length]
        if kind == 0x21:  # noqa: PLR2004 - presentation context
            context = value[2]
        if kind == 0x50:  # noqa: PLR2004 - user information
            at = 0
            while at < len(value):
                sub, size = struct.unpack_from(">BxH", value, at)
                if sub == 0x51:  # noqa: PLR2004 - maximum length
                    (max_pdu,) = struct.unpack_from(">I", value, at + 4)
                at += 4 + size
        position += 4 + length
    if context != 0:
        raise WireError(f"presentation context refused (result {context})")
    return max_pdu


def _end(received: bytes) -> int:
    """Where a PDU ends whose first bytes were received."""
    if len(received) < _PDU_HEAD:
        return _PDU_HEAD
    return _PDU_HEAD + int.from_bytes(received[2:_PDU_HEAD], "big")


def _number(command: bytes, header: bytes) -> tuple[int, bytes]:
    """The value of the first element with that header, and what follows.

    Elements are in the order of their numbers, and the texts before the status hold no such bytes.
    """
    _, _, rest = command.partition(header)
    return int.from_bytes(rest[:2], "little"), rest[2:]


def command_pdu(sop_class_uid: str, instance_uid: bytes, message_id: int) -> bytes:
    """C-STORE-RQ as one P-DATA-TF."""
    sop_class = sop_class_uid.encode()
    sop_class += b"\0" * (len(sop_class) % 2)
    elements = b"".join(
        struct.pack("<HHI", 0, element, len(value)) + value
        for element, value in (
            (0x0002, sop_class),
            (0x0100, struct.pack("<H", 1)),
            (0x0110, struct.pack("<H", message_id)),
            (0x0700, struct.pack("<H", 0)),
            (0x0800, struct.pack("<H", 1)),
            (0x1000, instance_uid),
        )
    )
    command = struct.pack("<HHII", 0, 0, 4, len(elements)) + elements
    return data_pdu_head(len(command), _COMMAND_LAST) + command


def data_pdu_head(length: int, control: int = _DATA_SET) -> bytes:
    """The heads of a P-DATA-TF with one fragment of ``length`` bytes."""
    return struct.pack(">BxIIBB", _DATA, length + 6, length + 2, CONTEXT_ID, control)


def fragment(length: int, *, last: bool) -> bytes:
    """The heads of a P-DATA-TF with ``length`` bytes of the data set."""
    return data_pdu_head(length, _DATA_SET_LAST if last else _DATA_SET)


class StoreMessage:
    """A whole C-STORE request in one buffer: a new object is a few UIDs in place."""

    def __init__(self, template: Template, max_pdu: int) -> None:
        """``max_pdu`` is what the acceptor takes."""
        values = uids(0, 0)
        pieces = [command_pdu(template.sop_class_uid, values["instance"], 1)]
        size = max_pdu - 6
        for start in range(0, len(template.data_set), size):
            part = template.data_set[start : start + size]
            pieces += fragment(len(part), last=start + size >= len(template.data_set)), part
        self.buffer = bytearray().join(pieces)
        self._offsets = find(self.buffer, values)
        self._message_id = pieces[0].index(struct.pack("<HHIH", 0, 0x0110, 2, 1)) + 8
        expected = {name: len(places) for name, places in find(template.data_set, values).items()}
        expected["instance"] += 1  # the command's
        if expected != {name: len(places) for name, places in self._offsets.items()}:
            raise WireError(f"PDUs of {max_pdu} bytes cut a UID in two")

    def make(self, association: int, number: int) -> int:
        """Turn the buffer into that object's request; returns its message ID."""
        patch(self.buffer, self._offsets, uids(association, number))
        message_id = number % 0xFFFF + 1
        struct.pack_into("<H", self.buffer, self._message_id, message_id)
        return message_id


def instance_uid(values: Mapping[str, bytes]) -> str:
    """The instance UID without its padding."""
    return values["instance"].decode().rstrip("\0")
