"""The warehouse."""

from collections.abc import Iterator
from typing import Final

from dicom_pipeline.cli.checks.check import Check
from dicom_pipeline.cli.checks.embedded import check_file, not_created, opened
from dicom_pipeline.cli.checks.schemas import migration_check
from dicom_pipeline.settings import Settings

SYSTEM: Final = "warehouse"


def check_warehouse(settings: Settings) -> Iterator[Check]:
    """The warehouse that the settings choose."""
    yield from _embedded(settings)


def _embedded(settings: Settings) -> Iterator[Check]:
    path = settings.home / "warehouse.db"
    if missing := not_created(SYSTEM, path):
        yield missing
        return
    yield from check_file(SYSTEM, path)
    with opened(path) as file:
        yield migration_check(SYSTEM, file.query, "", SYSTEM)
