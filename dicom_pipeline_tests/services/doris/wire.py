"""The server's side of the MySQL protocol: as much of it as a client needs for text statements.

https://dev.mysql.com/doc/dev/mysql-server/latest/PAGE_PROTOCOL.html
"""

import hashlib
import os
import socket
import socketserver
import struct
from collections.abc import Sequence
from datetime import date, datetime

from dicom_pipeline_tests.services.doris.errors import ACCESS_DENIED, DorisError
from dicom_pipeline_tests.services.doris.store import Result

SERVER_VERSION = "5.7.99"
"""What Doris calls itself here."""

_LONG_PASSWORD, _CONNECT_WITH_DB, _PROTOCOL_41 = 0x1, 0x8, 0x200
_TRANSACTIONS, _SECURE, _PLUGIN_AUTH = 0x2000, 0x8000, 0x80000
_CAPABILITIES = (
    _LONG_PASSWORD | _CONNECT_WITH_DB | _PROTOCOL_41 | _TRANSACTIONS | _SECURE | _PLUGIN_AUTH
)
_AUTOCOMMIT = 2
_UTF8MB4 = 45
_PLUGIN = b"mysql_native_password"
_QUIT, _INIT_DB, _QUERY, _PING = 1, 2, 3, 14
_TINY, _LONG, _DOUBLE, _LONGLONG, _DATE, _DATETIME, _STRING = 1, 3, 5, 8, 10, 12, 253
_LARGEST = 0xFFFFFF


class Packets:
    """Packets with their sequence numbers."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._number = 0

    def receive(self, *, first: bool = True) -> bytes:
        head = self._exactly(4)
        size, self._number = int.from_bytes(head[:3], "little"), head[3] + 1
        if size == _LARGEST:
            raise ConnectionError("a statement of 16 MiB is more than the double takes")
        assert first or self._number > 0
        return self._exactly(size)

    def send(self, payload: bytes) -> None:
        for start in range(0, len(payload) + 1, _LARGEST):
            part = payload[start : start + _LARGEST]
            head = len(part).to_bytes(3, "little") + bytes([self._number % 256])
            self._connection.sendall(head + part)
            self._number += 1

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self._connection.recv(size - len(data))
            if not piece:
                raise ConnectionError("the client is gone")
            data += piece
        return data


class MySqlHandler(socketserver.BaseRequestHandler):
    """One connection. ``server.frontend`` knows users and answers statements."""

    def handle(self) -> None:
        self.packets = Packets(self.request)
        frontend = self.server.frontend
        try:
            session = self._greet(frontend)
            while session is not None:
                self._command(session)
        except (ConnectionError, OSError):
            return

    def _greet(self, frontend):
        salt = os.urandom(20).replace(b"\0", b"\1")
        self.packets.send(
            struct.pack("<B", 10)
            + SERVER_VERSION.encode()
            + b"\0"
            + struct.pack("<I", 1)
            + salt[:8]
            + b"\0"
            + struct.pack(
                "<HBHH", _CAPABILITIES & 0xFFFF, _UTF8MB4, _AUTOCOMMIT, _CAPABILITIES >> 16
            )
            + struct.pack("<B", 21)
            + bytes(10)
            + salt[8:]
            + b"\0"
            + _PLUGIN
            + b"\0"
        )
        user, proof, database = _login(self.packets.receive())
        password = frontend.cluster.users.get(user)
        if password is None or proof != native_password(password, salt):
            self._error(DorisError(f"Access denied for user '{user}'", ACCESS_DENIED))
            return None
        try:
            session = frontend.session(user, database)
        except DorisError as error:
            self._error(error)
            return None
        self._ok()
        return session

    def _command(self, session) -> None:
        packet = self.packets.receive()
        command, body = packet[0], packet[1:]
        if command == _QUIT:
            raise ConnectionError("the client says good-bye")
        try:
            if command == _QUERY:
                self._answer(session.run(body.decode()))
            elif command == _INIT_DB:
                session.use(body.decode())
                self._ok()
            elif command == _PING:
                self._ok()
            else:
                self._error(DorisError(f"Unsupported command({command})", 1047))
        except DorisError as error:
            self._error(error)

    def _ok(self) -> None:
        self.packets.send(b"\0\0\0" + struct.pack("<HH", _AUTOCOMMIT, 0))

    def _error(self, error: DorisError) -> None:
        self.packets.send(b"\xff" + struct.pack("<H", error.code) + b"#HY000" + error.text.encode())

    def _answer(self, result: Result) -> None:
        if not result.columns:
            self._ok()
            return
        end = b"\xfe" + struct.pack("<HH", 0, _AUTOCOMMIT)
        self.packets.send(_length(len(result.columns)))
        for number, name in enumerate(result.columns):
            self.packets.send(_definition(name, [row[number] for row in result.rows]))
        self.packets.send(end)
        for row in result.rows:
            self.packets.send(b"".join(_field(value) for value in row))
        self.packets.send(end)


def native_password(password: str, salt: bytes) -> bytes:
    """What proves that a client knows a password (mysql_native_password)."""
    if not password:
        return b""
    once = hashlib.sha1(password.encode()).digest()
    mask = hashlib.sha1(salt + hashlib.sha1(once).digest()).digest()
    return bytes(a ^ b for a, b in zip(once, mask, strict=True))


def _login(packet: bytes) -> tuple[str, bytes, str | None]:
    (flags,) = struct.unpack_from("<I", packet)
    user, _, rest = packet[32:].partition(b"\0")
    proof, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
    database = rest.partition(b"\0")[0].decode() if flags & _CONNECT_WITH_DB else ""
    return user.decode(), proof, database or None


def _definition(name: str, values: Sequence[object]) -> bytes:
    kind = _kind(next((value for value in values if value is not None), None))
    texts = (b"def", b"", b"", b"", name.encode(), name.encode())
    fixed = struct.pack("<BHIBHBH", 12, _UTF8MB4, 1024, kind, 0, 6 if kind == _DATETIME else 0, 0)
    return b"".join(_length(len(text)) + text for text in texts) + fixed


def _kind(value: object) -> int:
    if isinstance(value, bool):
        return _TINY
    if isinstance(value, int):
        return _LONGLONG
    if isinstance(value, float):
        return _DOUBLE
    if isinstance(value, datetime):
        return _DATETIME
    return _DATE if isinstance(value, date) else _STRING


def _field(value: object) -> bytes:
    if value is None:
        return b"\xfb"
    if isinstance(value, datetime):
        text = value.isoformat(" ", timespec="microseconds")
    else:
        text = repr(value) if isinstance(value, float) else str(value)
    data = text.encode()
    return _length(len(data)) + data


def _length(number: int) -> bytes:
    if number < 0xFB:
        return bytes([number])
    if number < 1 << 16:
        return b"\xfc" + number.to_bytes(2, "little")
    if number < 1 << 24:
        return b"\xfd" + number.to_bytes(3, "little")
    return b"\xfe" + number.to_bytes(8, "little")
