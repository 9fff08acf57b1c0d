"""What is served: which folders, which kinds of files in them, and how long they may be kept."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.manifests.addresses import MANIFESTS, OBJECTS, RENDITIONS, VIEWER
from dicom_pipeline.peers import RESERVED_TENANTS
from dicom_pipeline.settings import Settings

INDEX: Final = "index.html"
"""The page itself."""

_ASK: Final = "private, no-cache"
"""Kept, but never used without asking whether it is still the same."""
_KEEP: Final = "private, max-age=31536000, immutable"
"""No path of an original ever gets another content."""

_PAGE: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/x-icon",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".map": "application/json",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}


class Tree(NamedTuple):
    """A folder of files of certain kinds."""

    prefix: str
    """The first part of its URLs."""
    root: Path
    types: Mapping[str, str]
    """Content types by suffix; other files are not served."""
    cache: str
    """``Cache-Control``."""
    tenants: bool = True
    """Whether its first folders are tenants."""

    def type_of(self, parts: list[str]) -> str | None:
        """The content type of the file at these parts; None when it is not served."""
        if self.tenants and (len(parts) == 1 or parts[0] in RESERVED_TENANTS):
            return None
        return self.types.get(Path(parts[-1]).suffix)


def trees(settings: Settings) -> list[Tree]:
    """The folders that the settings name, and the page."""
    dicom = {".dcm": "application/dicom"}
    return [
        Tree(VIEWER, viewer_folder(), _PAGE, _ASK, tenants=False),
        Tree(MANIFESTS, settings.manifests, {".json": "application/json"}, _ASK),
        Tree(OBJECTS, settings.storage, dicom, _KEEP),
        # A conversion that is repeated may put another file in the place of the first.
        Tree(RENDITIONS, settings.renditions, {**dicom, ".mp4": "video/mp4"}, _ASK),
    ]


def viewer_folder() -> Path:
    """The built page: inside the installed package, or in the checkout. It need not be there."""
    package = Path(str(files("dicom_pipeline")))
    installed = package / "viewer"
    return installed if installed.is_dir() else package.parent / "viewer" / "dist"
