"""The file server as an ASGI application."""

import logging
import os
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    HTMLResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route
from starlette.staticfiles import NotModifiedResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from dicom_pipeline.file_server.guard import Guard
from dicom_pipeline.file_server.opening import Opened, open_below, split
from dicom_pipeline.file_server.trees import INDEX, Tree, trees
from dicom_pipeline.manifests.addresses import VIEWER
from dicom_pipeline.settings import Settings

logger = logging.getLogger(__name__)

_NOT_BUILT: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>dicom-pipeline</title>
<h1>The viewer is not built</h1>
<p>Run <code>make viewer</code> in the checkout, and load this page again. Manifests and files are
served all the same.</p>
"""


class _OpenedFile(FileResponse):
    """A file that was opened already: what is served is what was looked at."""

    chunk_size = 256 * 1024

    def __init__(self, opened: Opened, media_type: str, headers: dict[str, str]) -> None:
        self._descriptor = opened.descriptor
        super().__init__(
            f"/proc/self/fd/{opened.descriptor}",
            media_type=media_type,
            headers=headers,
            stat_result=opened.status,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if self._not_modified(Headers(scope=scope)):
                await NotModifiedResponse(self.headers)(scope, receive, send)
            else:
                await super().__call__(scope, receive, send)
        finally:
            os.close(self._descriptor)

    def _not_modified(self, asked: Headers) -> bool:
        """RFC 9110 13.1: the date counts only where no tag is given."""
        if tags := asked.get("if-none-match"):
            known = {tag.strip().removeprefix("W/") for tag in tags.split(",")}
            return bool(known & {self.headers["etag"], "*"})
        try:
            since = parsedate_to_datetime(asked.get("if-modified-since", ""))
            return parsedate_to_datetime(self.headers["last-modified"]) <= since
        except (ValueError, TypeError):
            return False


def application(settings: Settings) -> ASGIApp:
    """The application that serves the folders of the settings."""
    routes = [
        Route("/", _to_the_viewer),
        Route(VIEWER.rstrip("/"), _to_the_viewer),
        *(Route(f"{tree.prefix}{{path:path}}", _serving(tree)) for tree in trees(settings)),
    ]
    return Guard(Starlette(routes=routes), settings)


def _to_the_viewer(request: Request) -> Response:
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"{VIEWER}{query}", HTTPStatus.TEMPORARY_REDIRECT)


def _serving(tree: Tree) -> Callable[[Request], Response]:
    """Looks for files in threads, as disks may be slow."""
    return partial(_serve, tree)


def _serve(tree: Tree, request: Request) -> Response:
    asked = request.path_params["path"]
    if tree.prefix == VIEWER and not asked:
        asked = INDEX
    parts = split(asked)
    media_type = tree.type_of(parts) if parts else None
    if not parts or media_type is None:
        return _not_found()
    try:
        opened = open_below(tree.root, parts)
    except OSError as error:
        logger.warning("file not opened", extra={"tree": tree.prefix, "errno": error.errno})
        return PlainTextResponse("unavailable\n", HTTPStatus.SERVICE_UNAVAILABLE)
    if opened is None:
        return _not_built() if tree.prefix == VIEWER and asked == INDEX else _not_found()
    return _OpenedFile(opened, media_type, {"cache-control": tree.cache})


def _not_found() -> Response:
    return PlainTextResponse(
        "not found\n", HTTPStatus.NOT_FOUND, headers={"cache-control": "no-store"}
    )


def _not_built() -> Response:
    return HTMLResponse(
        _NOT_BUILT, HTTPStatus.SERVICE_UNAVAILABLE, headers={"cache-control": "no-store"}
    )
