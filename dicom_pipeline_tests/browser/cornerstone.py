"""Cornerstone3D in a headless browser: what it makes of the frames of a file."""

import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlsplit

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

VIEWER = Path(__file__).parents[2] / "viewer"
CHROMIUM = "/usr/bin/chromium"
_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_TYPES = {".html": "text/html", ".js": "text/javascript", ".wasm": "application/wasm"}
_SECONDS = 8
"""A frame that takes longer will never settle: the largest of the corpus takes 0.1 s."""
_OBJECTS_A_PAGE = 25
_NEVER_SETTLED = "never settled"
_BEFORE_DECODERS = ("no pixel data in", "No decoder for", "Cannot read properties of")
"""Errors that leave the decoders as they were."""


class Shown(NamedTuple):
    """One frame as Cornerstone3D holds it."""

    pixels: np.ndarray
    """(rows, columns) or (rows, columns, samples), of the type that it chose."""
    inverted: bool


class Refused(NamedTuple):
    """What Cornerstone3D said instead of an image."""

    error: str


class _Server(ThreadingHTTPServer):
    """Serves the page, the objects, and takes pixels back."""

    daemon_threads = True

    def __init__(self, page: Path) -> None:
        self.page = page
        self.objects: dict[str, Path] = {}
        self.results: dict[str, bytes] = {}
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _, folder, name = f"{urlsplit(self.path).path}/".split("/", 2)
        name = name.rstrip("/")
        path = self.server.objects.get(name) if folder == "objects" else self.server.page / name
        if path is None or not path.is_file():
            self._answer(HTTPStatus.NOT_FOUND, b"")
        else:
            self._answer(HTTPStatus.OK, path.read_bytes(), _TYPES.get(path.suffix))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.results[self.path] = body
        self._answer(HTTPStatus.OK, b"")

    def _answer(self, status: HTTPStatus, body: bytes, media_type: str | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", media_type or "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Cornerstone:
    """Loads objects, many in one page.

    A decoder that fails may give the pixels of the image before it. That is seen as long as no two
    objects of a page have the same pixels. What never settles ends its page; after a decoder's
    error, whatever is refused is tried once more in a fresh page.
    """

    _numbers: ClassVar[Iterator[int]] = iter(range(1 << 62))

    def __init__(self, browser: Browser, server: _Server, *, query: str = "") -> None:
        self._browser = browser
        self._server = server
        self._origin = f"http://127.0.0.1:{server.server_port}"
        self._query = query
        self._page: Page | None = None
        self._left = 0
        self._suspect = False

    def load(self, path: Path, frames: int = 1, *, fresh: bool = False) -> list[Shown | Refused]:
        """Every frame of the object in ``path``, up to the first that never settles."""
        suspect = self._suspect and not fresh
        shown = self._load(path, frames, fresh=fresh)
        if suspect and any(isinstance(one, Refused) for one in shown):
            shown = self._load(path, frames, fresh=True)
        return shown

    def _load(self, path: Path, frames: int, *, fresh: bool) -> list[Shown | Refused]:
        name = f"{next(self._numbers)}.dcm"
        self._server.objects[name] = path
        page = self._fresh_page() if fresh or not self._left else self._page
        assert page is not None
        self._left -= 1
        results = f"/results/{name}"
        told: list[dict[str, Any]] = page.evaluate(
            "([url, frames, results, seconds]) => harness.load(url, frames, results, seconds)",
            [f"{self._origin}/objects/{name}", frames, results, _SECONDS],
        )
        errors = [one["error"] for one in told if "error" in one]
        if _NEVER_SETTLED in errors:
            self._left = 0
        self._suspect |= not all(
            any(known in error for known in _BEFORE_DECODERS) for error in errors
        )
        return [
            Refused(one["error"])
            if "error" in one
            else _shown(one, self._server.results.pop(f"{results}?frame={number}"))
            for number, one in enumerate(told, start=1)
        ]

    def _fresh_page(self) -> Page:
        if self._page is not None:
            self._page.close()
        self._page = self._browser.new_page()
        self._page.goto(f"{self._origin}/page/index.html{self._query}")
        self._page.wait_for_function("window.harness !== undefined")
        self._left = _OBJECTS_A_PAGE
        self._suspect = False
        return self._page


def _shown(told: dict[str, Any], body: bytes) -> Shown:
    dtype = np.dtype(told["type"].removesuffix("Array").removesuffix("Clamped").lower())
    pixels = np.frombuffer(body, dtype)
    samples = told["components"] or 1
    shape = (told["rows"], told["columns"], samples)
    if pixels.size == np.prod(shape):
        pixels = pixels.reshape(shape if samples > 1 else shape[:2])
    return Shown(pixels, bool(told["invert"]))


def build_page(folder: Path) -> Path:
    """Bundle the page that loads objects; its packages must have been installed."""
    node = shutil.which("node")
    assert node is not None
    out = folder / "harness"
    subprocess.run([node, "harness/build.mjs", out], cwd=VIEWER, check=True)
    return out


@contextmanager
def cornerstone(page: Path, *, query: str = "") -> Iterator[Cornerstone]:
    """A browser with the page of `build_page`."""
    server = _Server(page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
            try:
                yield Cornerstone(browser, server, query=query)
            finally:
                browser.close()
    finally:
        server.shutdown()
        server.server_close()
