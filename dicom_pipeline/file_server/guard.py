"""What every request has to pass, and what every response carries."""

import ipaddress
import logging
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dicom_pipeline.manifests.addresses import VIEWER
from dicom_pipeline.settings import Settings

access = logging.getLogger("dicom_pipeline.file_server.access")

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "connect-src 'self'; media-src 'self'; img-src 'self' blob: data:; style-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""What the page may do: its own scripts, the decoders in WebAssembly, and files of this server."""
_FILES_POLICY: Final = "default-src 'none'; frame-ancestors 'none'; sandbox"
"""A file that is opened by itself does nothing."""

_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_METHODS: Final = ("GET", "HEAD")


class Guard:
    """Refuses foreign hosts and other methods, adds the headers, and writes the access log.

    A page elsewhere may let its own name mean this machine (DNS rebinding) and then read what we
    serve as its own. So a request must name us by an address, or by a name that we know.
    """

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self._app = app
        self._names = known_names(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request (ASGI)."""
        if scope["type"] != "http":
            return
        record = _Record(scope, send)
        refusal = self._refusal(scope)
        try:
            await (refusal or self._app)(scope, receive, record.send)
        finally:
            record.write()

    def _refusal(self, scope: Scope) -> ASGIApp | None:
        host = host_name(Headers(scope=scope).get("host", ""))
        if host not in self._names and not _is_address(host):
            text = "This server is not known by that name; PUBLIC_URL makes one known.\n"
            return PlainTextResponse(text, HTTPStatus.MISDIRECTED_REQUEST)
        if scope["method"] not in _METHODS:
            allowed = {"allow": ", ".join(_METHODS)}
            return PlainTextResponse("", HTTPStatus.METHOD_NOT_ALLOWED, headers=allowed)
        return None


def known_names(settings: Settings) -> frozenset[str]:
    """The names that a request may call this server by."""
    names = {"localhost", settings.viewer_host.lower()}
    if settings.public_url:
        names.add((urlsplit(settings.public_url).hostname or "").lower())
    return frozenset(names - {""})


def host_name(host: str) -> str:
    """The name or address in a ``Host`` header, without port and brackets."""
    name = host.rpartition(":")[0] if _has_port(host) else host
    return name.removeprefix("[").removesuffix("]").lower()


def _has_port(host: str) -> bool:
    return ":" in host and not host.endswith("]")


def _is_address(host: str) -> bool:
    with suppress(ValueError):
        ipaddress.ip_address(host)
        return True
    return False


class _Record:
    """One response on its way: adds the headers, and knows what the access log tells."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self._scope = scope
        self._send = send
        self._started = time.monotonic()
        self._status = 0
        self._bytes = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._status = int(message["status"])
            headers = MutableHeaders(scope=message)
            page = self._scope["path"].startswith(VIEWER)
            policy = CONTENT_SECURITY_POLICY if page else _FILES_POLICY
            for name, value in {**_HEADERS, "content-security-policy": policy}.items():
                headers[name] = value
        elif message["type"] == "http.response.body":
            self._bytes += len(message.get("body", b""))
        await self._send(message)

    def write(self) -> None:
        """Paths of files that are there hold UIDs only; others may hold anything."""
        served = HTTPStatus.OK <= self._status < HTTPStatus.BAD_REQUEST
        told: dict[str, object] = {
            "method": self._scope["method"] if self._scope["method"] in _METHODS else "other",
            "status": self._status,
            "bytes": self._bytes,
            "seconds": round(time.monotonic() - self._started, 4),
        }
        if served:
            told["path"] = self._scope["path"]
        access.info("request", extra=told)
