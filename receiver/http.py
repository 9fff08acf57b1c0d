"""``/metrics``, ``/healthz`` and ``/readyz`` over HTTP, for monitoring and balancers.

Only GET and HEAD are answered, one request a connection. A request may be neither large nor slow,
and only so many are served at a time: whoever reaches this port cannot hold up the receiver.
"""

import errno
import json
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from socketserver import TCPServer, ThreadingMixIn
from typing import Any, Final

from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from dicom_pipeline.errors import ConfigurationError
from receiver.failures import described
from receiver.readiness import Check, failed
from receiver.recent import Recent

logger = logging.getLogger(__name__)

_REQUEST_BYTES: Final = 1 << 14
_REQUEST_SECONDS: Final = 5.0
_ANSWER_SECONDS: Final = 10.0
_CONNECTIONS: Final = 32
_SLOW_REQUESTS: Final = 8
"""How many may read disks at a time: threads that hang there leave room for ``/healthz``."""
_POLL_SECONDS: Final = 0.2

_HEAD_END: Final = re.compile(rb"\r?\n\r?\n")
_JSON: Final = "application/json"

Answer = tuple[HTTPStatus, str, bytes]
"""Status, content type, body."""


class HttpServer:
    """Serves the three paths from a daemon thread."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        metrics: Collector,
        alive: Mapping[str, Callable[[], bool]],
        ready: Mapping[str, Check],
    ) -> None:
        """Nothing listens before `start`.

        Args:
            host: RECEIVER_HTTP_HOST.
            port: RECEIVER_HTTP_PORT; 0 takes a free one.
            metrics: what ``/metrics`` shows.
            alive: for each essential thread whether it lives; must not block.
            ready: what must hold for objects to be taken; asked at most once a second.
        """
        self._address = (host, port)
        self._metrics = metrics
        self._alive = alive
        self._failed_checks = Recent(
            lambda: {name: problem._asdict() for name, problem in failed(ready).items()},
            busy={
                "checks": {
                    "reason": "the checks take too long",
                    "remedy": "see whether the storage root and the outbox's disk answer",
                }
            },
        )
        self._slow_requests = threading.BoundedSemaphore(_SLOW_REQUESTS)
        self._server: _Server | None = None

    def start(self) -> int:
        """Listen, and return the port.

        Raises:
            ConfigurationError: the address cannot be bound.
        """
        host, port = self._address
        try:
            self._server = _Server(host, port, self._answer)
        except (OSError, UnicodeError) as error:  # the latter: a host name's part is too long
            in_use = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
            remedy = (
                "stop the program that uses it, or set RECEIVER_HTTP_PORT"
                if in_use
                else "correct RECEIVER_HTTP_HOST and RECEIVER_HTTP_PORT"
            )
            raise ConfigurationError(
                f"cannot serve metrics on {host}:{port} ({error}): {remedy}"
            ) from error
        threading.Thread(
            target=self._server.serve_forever, args=(_POLL_SECONDS,), name="http", daemon=True
        ).start()
        return int(self._server.server_address[1])

    def stop(self) -> None:
        """Close the port; may be called again, or without `start`."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()

    def _answer(self, path: str, accept: str) -> Answer:
        if path == "/healthz":
            return self._health()
        if path == "/readyz":
            return self._unless_busy(self._readiness)
        if path == "/metrics":
            return self._unless_busy(lambda: self._exposition(accept))
        return _error(HTTPStatus.NOT_FOUND, "there are /metrics, /healthz and /readyz")

    def _unless_busy(self, answer: Callable[[], Answer]) -> Answer:
        if not self._slow_requests.acquire(blocking=False):
            return _error(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests at a time")
        try:
            return answer()
        finally:
            self._slow_requests.release()

    def _health(self) -> Answer:
        dead = sorted(name for name, is_alive in self._alive.items() if not _holds(is_alive))
        if not dead:
            return _json(HTTPStatus.OK, {"status": "alive"})
        return _json(
            HTTPStatus.SERVICE_UNAVAILABLE,
            {"status": "dead", "dead": dead, "remedy": "restart the receiver"},
        )

    def _readiness(self) -> Answer:
        problems = self._failed_checks()
        if not problems:
            return _json(HTTPStatus.OK, {"status": "ready"})
        return _json(HTTPStatus.SERVICE_UNAVAILABLE, {"status": "not ready", "failed": problems})

    def _exposition(self, accept: str) -> Answer:
        try:
            encode, content_type = choose_encoder(" ".join(accept.split()))
            return HTTPStatus.OK, content_type, encode(self._metrics)
        except TypeError:  # the format's version that is asked for is no number
            encode, content_type = choose_encoder("")
            return HTTPStatus.OK, content_type, encode(self._metrics)


def _holds(condition: Callable[[], bool]) -> bool:
    with suppress(Exception):
        return condition()
    return False


def _json(status: HTTPStatus, body: Mapping[str, object]) -> Answer:
    return status, _JSON, json.dumps(body).encode() + b"\n"


def _error(status: HTTPStatus, message: str) -> Answer:
    return _json(status, {"error": message})


class _Server(ThreadingMixIn, TCPServer):
    """A thread for each connection, of which there are only so many."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, host: str, port: int, answer: Callable[[str, str], Answer]) -> None:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family, _, _, _, address = found[0]
        self.answer = answer
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        super().__init__(address, _Handler)  # type: ignore[arg-type] # IPv4 or IPv6

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve the connection, or close it at once when there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        """Without a traceback on standard error: most often the client has gone."""
        error = sys.exc_info()[1]
        logger.debug("HTTP request failed", extra=described(error) if error else {})


class _Handler(BaseHTTPRequestHandler):
    """One request. `handle` replaces the inherited reading, which bounds neither time nor size."""

    server: _Server

    def handle(self) -> None:
        """Read the request, answer it, and let the connection end."""
        try:
            request = _read_request(self.connection)
        except _UnfitRequestError as error:
            self.log_message("%s", error)
            return
        self.connection.settimeout(_ANSWER_SECONDS)
        self.rfile.close()
        self.rfile = BytesIO(request)
        self.raw_requestline = self.rfile.readline()
        if self.parse_request():
            self._answer()

    def _answer(self) -> None:
        if self.command in {"GET", "HEAD"}:
            path = self.path.partition("?")[0]
            status, content_type, body = self.server.answer(path, self.headers.get("Accept", ""))
        else:
            status, content_type, body = _error(
                HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD are answered"
            )
        self.send_response(status)
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def version_string(self) -> str:
        """What the header Server says: not which Python this is."""
        return "dicom-receiver"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """To our log, and only at its finest level."""
        logger.debug(
            "HTTP request", extra={"client": self.client_address[0], "request": format % args}
        )


class _UnfitRequestError(Exception):
    """A request is too large, too slow or cut off."""


def _read_request(connection: socket.socket) -> bytes:
    """A request up to its empty line, and what of its body came along.

    Raises:
        _UnfitRequestError: it cannot be answered.
        OSError: the connection is broken.
    """
    deadline = time.monotonic() + _REQUEST_SECONDS
    request = b""
    while not _HEAD_END.search(request):
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise _UnfitRequestError("request too slow")
        if len(request) > _REQUEST_BYTES:
            raise _UnfitRequestError("request too large")
        connection.settimeout(remaining)
        try:
            received = connection.recv(_REQUEST_BYTES)
        except TimeoutError:
            continue
        if not received:
            raise _UnfitRequestError("request cut off")
        request += received
    return request
