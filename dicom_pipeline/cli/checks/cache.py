"""The cache."""

from collections.abc import Iterator
from typing import Final

from dicom_pipeline.cli.checks.check import Check, ok
from dicom_pipeline.settings import Settings

SYSTEM: Final = "cache"


def check_cache(_settings: Settings) -> Iterator[Check]:
    """The cache that the settings choose."""
    yield ok(SYSTEM, "reachable", "in process: each process has its own")
