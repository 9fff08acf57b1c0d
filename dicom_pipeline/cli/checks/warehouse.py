"""The warehouse: a SQLite file, or a database in Doris."""

from collections.abc import Iterator
from typing import Final

from dicom_pipeline.cli.checks.check import Check, Verdict, failure
from dicom_pipeline.cli.checks.embedded import check_embedded
from dicom_pipeline.cli.checks.reach import Address, reachable
from dicom_pipeline.cli.checks.schemas import migration_check
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import open_warehouse

SYSTEM: Final = "warehouse"


def check_warehouse(settings: Settings) -> Iterator[Check]:
    """The warehouse that the settings choose."""
    if settings.warehouse_url:
        yield from _doris(settings)
    else:
        yield from check_embedded(
            SYSTEM,
            settings.home / "warehouse.db",
            lambda file: [migration_check(SYSTEM, file.query, "", SYSTEM)],
        )


def _doris(settings: Settings) -> Iterator[Check]:
    from dicom_pipeline.warehouse.doris.options import parse_options  # noqa: PLC0415 - when chosen

    try:
        options = parse_options(settings.warehouse_url)
        warehouse = open_warehouse(settings)
    except ConfigurationError as error:
        yield failure(SYSTEM, "configuration", str(error), "correct WAREHOUSE_URL")
        return
    frontends = [Address(one.host, one.port) for one in options.frontends]
    with warehouse:
        reached = next(reachable(SYSTEM, frontends, "WAREHOUSE_URL"))
        yield reached
        if reached.verdict is not Verdict.FAIL:
            yield migration_check(SYSTEM, warehouse.query, settings.warehouse_url, SYSTEM)
