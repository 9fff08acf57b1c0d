"""One HTTP exchange that sends its body only to who asks for it (RFC 9110 10.1.1).

A frontend answers a Stream Load with a redirect and never reads the body, and it refuses a request
without ``Expect: 100-continue``. The clients of the standard library and the usual ones on top of
it send the body at once; h11 leaves that to us.
"""

import contextlib
import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import h11

_BLOCK: Final = 1 << 20
_ANSWER_BYTES: Final = 1 << 20
"""No answer that we wait for is longer; the rest of an error log is not read."""


class Endpoint(NamedTuple):
    """What is asked of whom. User information of a URL is dropped: it may hold a password."""

    secure: bool
    host: str
    port: int
    target: str

    @classmethod
    def of(cls, url: str) -> "Endpoint":
        """The parts of an absolute URL.

        Raises:
            ValueError: it is none of HTTP or HTTPS.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError("not a URL of HTTP")
        secure = parts.scheme == "https"
        target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        return cls(secure, parts.hostname, parts.port or (443 if secure else 80), target)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"


class Answer(NamedTuple):
    """The status line's code, the headers by their names in lower case, and the content."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Limits(NamedTuple):
    """Seconds to wait for a connection, and for each piece of an answer."""

    connect: float
    answer: float


def exchange(  # noqa: PLR0913 - a request has that many parts
    method: str,
    endpoint: Endpoint,
    headers: Mapping[str, str],
    body: Iterable[bytes] = (),
    *,
    limits: Limits,
    tls: ssl.SSLContext | None = None,
) -> Answer:
    """Send one request on a connection of its own and read the answer.

    With ``Expect`` among the headers, ``body`` is sent when the server says so, and not at all
    when it answers first.

    Raises:
        OSError: the server cannot be reached, or was gone before its answer was complete.
    """
    raw = socket.create_connection((endpoint.host, endpoint.port), limits.connect)
    with contextlib.ExitStack() as opened:
        opened.callback(raw.close)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection: socket.socket = raw
        if endpoint.secure:
            context = tls or ssl.create_default_context()
            connection = context.wrap_socket(raw, server_hostname=endpoint.host)
            opened.callback(connection.close)
        connection.settimeout(limits.answer)
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        request = h11.Request(
            method=method,
            target=endpoint.target,
            headers=[("Host", f"{host}:{endpoint.port}"), *headers.items()],
        )
        try:
            return _converse(connection, request, body)
        except h11.ProtocolError as error:
            raise ConnectionError(f"its answer is no HTTP or breaks off: {error}") from error


def _converse(connection: socket.socket, request: h11.Request, body: Iterable[bytes]) -> Answer:
    protocol = h11.Connection(h11.CLIENT)
    connection.sendall(protocol.send(request))
    if not _expects(request):
        _send_body(connection, protocol, body)
    head: h11.Response | None = None
    content = bytearray()
    while True:
        event = protocol.next_event()
        if event is h11.NEED_DATA:
            protocol.receive_data(connection.recv(1 << 16))
        elif isinstance(event, h11.InformationalResponse):
            if event.status_code == 100:  # noqa: PLR2004 - Continue
                _send_body(connection, protocol, body)
        elif isinstance(event, h11.Response):
            head = event
        elif isinstance(event, h11.Data):
            content += event.data
        if isinstance(event, h11.EndOfMessage) or len(content) > _ANSWER_BYTES:
            break
        if isinstance(event, h11.ConnectionClosed):
            raise ConnectionError("the connection was closed before the answer")
    assert head is not None
    headers = {name.decode("ascii"): value.decode("latin-1") for name, value in head.headers}
    return Answer(head.status_code, headers, bytes(content))


def _expects(request: h11.Request) -> bool:
    return any(name == b"expect" for name, _ in request.headers)


def _send_body(connection: socket.socket, protocol: h11.Connection, body: Iterable[bytes]) -> None:
    """Send the body; a server that answers instead of reading on is heard."""
    try:
        for block in _blocks(body):
            connection.sendall(protocol.send(h11.Data(data=block)) or b"")
        connection.sendall(protocol.send(h11.EndOfMessage()) or b"")
    except (BrokenPipeError, ConnectionResetError):
        protocol.send_failed()


def _blocks(body: Iterable[bytes]) -> Iterable[bytes]:
    block = bytearray()
    for piece in body:
        block += piece
        if len(block) >= _BLOCK:
            yield bytes(block)
            block.clear()
    if block:
        yield bytes(block)
