"""A Storage SCU on a raw socket: quick, and free to stop anywhere in a message."""

import socket
import ssl
import struct
from contextlib import suppress

from dicom_pipeline_tests.receiver.objects import CT, EXPLICIT
from receiver.commands import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    DATA_SET,
    MESSAGE_ID,
    Operation,
    decode,
    encode,
)
from receiver.wire import P_DATA_TF, message, split

A_ASSOCIATE_RQ, A_ASSOCIATE_AC, A_RELEASE_RQ = 0x01, 0x02, 0x05
MAX_PDU = 65536
CONTEXT_ID = 1
_PDU_HEAD = struct.Struct(">BxI")


class AssociationEndedError(ConnectionError):
    """The receiver has answered with another PDU than the one that was due."""


def _item(kind: int, value: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(value)) + value


def association_request(called: str, calling: str) -> bytes:
    """A-ASSOCIATE-RQ for CT images in explicit VR little endian (PS3.8 9.3.2)."""
    context = (
        bytes((CONTEXT_ID, 0, 0, 0)) + _item(0x30, CT.encode()) + _item(0x40, EXPLICIT.encode())
    )
    user = _item(0x51, struct.pack(">I", MAX_PDU)) + _item(0x52, b"1.2.3")
    body = (
        struct.pack(">H2x16s16s32x", 1, called.ljust(16).encode(), calling.ljust(16).encode())
        + _item(0x10, b"1.2.840.10008.3.1.1.1")
        + _item(0x20, context)
        + _item(0x50, user)
    )
    return _PDU_HEAD.pack(A_ASSOCIATE_RQ, len(body)) + body


def store_request(uid: str, data_set: bytes, max_pdu: int = MAX_PDU) -> bytes:
    """A C-STORE request and its data set, as P-DATA-TF PDUs."""
    command = encode(
        {
            AFFECTED_SOP_CLASS_UID: CT,
            COMMAND_FIELD: Operation.C_STORE,
            MESSAGE_ID: 1,
            0x0700: 0,  # Priority
            COMMAND_DATA_SET_TYPE: DATA_SET,
            AFFECTED_SOP_INSTANCE_UID: uid,
        }
    )
    return message(CONTEXT_ID, command, data_set, max_pdu)


class Sender:
    """One association, established.

    Args:
        port: the receiver's, on 127.0.0.1.
        source: the address that it is sent from; empty: the system's choice.
        tls: for a port that speaks TLS.
    """

    def __init__(
        self,
        port: int,
        calling: str = "SCU",
        called: str = "DICOM_PIPELINE",
        *,
        source: str = "",
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Raises OSError when there is no receiver, or none that accepts."""
        self.socket = socket.create_connection(("127.0.0.1", port), 20, (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="127.0.0.1")
        try:
            self.socket.sendall(association_request(called, calling))
            self.read(A_ASSOCIATE_AC)
        except BaseException:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with suppress(OSError):
            self.socket.sendall(_PDU_HEAD.pack(A_RELEASE_RQ, 4) + bytes(4))
            self.socket.shutdown(socket.SHUT_WR)
            self.ending()
        self.socket.close()

    def store(self, uid: str, data_set: bytes) -> int:
        """Send an object; returns its status."""
        self.socket.sendall(store_request(uid, data_set))
        return self.status()

    def status(self) -> int:
        """The status in the response that comes next."""
        (value,) = split(memoryview(self.read(P_DATA_TF)))
        return decode(bytes(value.fragment)).status

    def read(self, kind: int) -> bytes:
        """The body of the next PDU, which must be of this kind."""
        found, length = _PDU_HEAD.unpack(self._receive(_PDU_HEAD.size))
        body = self._receive(length)
        if found != kind:
            raise AssociationEndedError(f"PDU of type {found}")
        return body

    def ending(self) -> bytes:
        """All that comes until the receiver closes the connection."""
        data = b""
        with suppress(ConnectionError):
            while chunk := self.socket.recv(4096):
                data += chunk
        return data

    def _receive(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            chunk = self.socket.recv(size - len(data))
            if not chunk:
                raise ConnectionResetError("closed by the receiver")
            data += chunk
        return data
