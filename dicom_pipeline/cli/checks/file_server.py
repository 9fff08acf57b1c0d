"""The file server: its port, who can reach it, and whether the page is built."""

from collections.abc import Iterator
from typing import Final

from dicom_pipeline.cli.checks.check import Check, ok, warning
from dicom_pipeline.cli.checks.receiver import port_check
from dicom_pipeline.file_server.exposure import exposed
from dicom_pipeline.file_server.trees import INDEX, viewer_folder
from dicom_pipeline.settings import Settings

SYSTEM: Final = "file server"


def check_file_server(settings: Settings) -> Iterator[Check]:
    """Whether it runs, or could."""
    yield port_check(SYSTEM, "VIEWER_PORT", settings.viewer_host, settings.viewer_port)
    if found := exposed(settings):
        yield warning(SYSTEM, "address", found, "set VIEWER_HOST=127.0.0.1")
    folder = viewer_folder()
    if folder.joinpath(INDEX).is_file():
        yield ok(SYSTEM, "page", str(folder))
    else:
        yield warning(SYSTEM, "page", "the viewer is not built", "run `make viewer`")
