"""The catalog."""

from collections.abc import Iterator
from typing import Final

from dicom_pipeline.cli.checks.check import Check, Verdict, ok, warning
from dicom_pipeline.cli.checks.embedded import check_file, not_created, opened
from dicom_pipeline.cli.checks.schemas import migration_check
from dicom_pipeline.schema_state import Query
from dicom_pipeline.settings import Settings

SYSTEM: Final = "catalog"


def check_catalog(settings: Settings) -> Iterator[Check]:
    """The catalog that the settings choose."""
    yield from _embedded(settings)


def _embedded(settings: Settings) -> Iterator[Check]:
    path = settings.home / "catalog.db"
    if missing := not_created(SYSTEM, path):
        yield missing
        return
    yield from check_file(SYSTEM, path)
    with opened(path) as file:
        schema = migration_check(SYSTEM, file.query, "", SYSTEM)
        yield schema
        if schema.verdict is Verdict.OK:
            yield _abandoned(file.query)


def _abandoned(query: Query) -> Check:
    (row,) = query("SELECT COUNT(*) AS n FROM abandoned_range")
    if row["n"]:
        remedy = "`dicom-pipeline status` lists them and says what to do"
        return warning(SYSTEM, "abandoned ranges", f"{row['n']} wait for an operator", remedy)
    return ok(SYSTEM, "abandoned ranges", "none")
