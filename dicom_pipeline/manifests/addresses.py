"""The URL space that the file server, Nginx and the manifests share.

The first part of every path below the roots is the tenant, so that a server can ask each tenant's
people for credentials of their own.
"""

from collections.abc import Callable
from typing import Final
from urllib.parse import quote, urlencode

from dicom_pipeline.catalog import Study
from dicom_pipeline.settings import Settings

VIEWER: Final = "/viewer/"
MANIFESTS: Final = "/manifests/"
OBJECTS: Final = "/objects/"
RENDITIONS: Final = "/renditions/"

LIST_NAME: Final = "studies.json"

_REACHABLE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - any
"""How this machine reaches a server that listens on all addresses."""

Address = Callable[[str], str]
"""Makes a URL of a path that begins with one of the roots."""


def address(settings: Settings) -> Address:
    """URLs as manifests have them: root-relative unless ``PUBLIC_URL`` is set."""
    base = settings.public_url.rstrip("/")
    return lambda path: f"{base}{quote(path, safe='/~')}"


def manifest_name(study_uid: str) -> str:
    """The file of a study's manifest, below its tenant's folder."""
    return f"{study_uid}.json"


def viewer_base(settings: Settings) -> str:
    """Where people find the viewer: ``PUBLIC_URL``, or else the embedded file server."""
    host = _REACHABLE.get(settings.viewer_host, settings.viewer_host)
    local = f"http://{f'[{host}]' if ':' in host else host}:{settings.viewer_port}"
    return settings.public_url.rstrip("/") or local


def viewer_url(settings: Settings, tenant_id: str, study_uid: str = "") -> str:
    """The page that lists a tenant's studies, or shows one of them."""
    asked = {"tenant": tenant_id, **({"study": study_uid} if study_uid else {})}
    return f"{viewer_base(settings)}{VIEWER}?{urlencode(asked)}"


def study_url(settings: Settings, study: Study) -> str:
    """The page that shows a study."""
    return viewer_url(settings, study.tenant_id, study.study_uid)
