"""The catalog: a SQLite file, or a database in MySQL."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dicom_pipeline.catalog import catalog_drift, open_catalog
from dicom_pipeline.cli.checks.check import Check, Verdict, failure, ok, warning
from dicom_pipeline.cli.checks.embedded import check_embedded
from dicom_pipeline.cli.checks.mysql import check_server
from dicom_pipeline.cli.checks.reach import Address, reachable
from dicom_pipeline.cli.checks.schemas import drift_check, migration_check
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.schema_state import Query
from dicom_pipeline.settings import Settings

SYSTEM: Final = "catalog"

_PORT: Final = 3306
_SQLITE: Final = "sqlite:///"


def check_catalog(settings: Settings) -> Iterator[Check]:
    """The catalog that the settings choose."""
    if not settings.catalog_url:
        yield from _embedded(settings, settings.home / "catalog.db")
    elif settings.catalog_url.startswith(_SQLITE):
        yield from _embedded(settings, Path(settings.catalog_url.removeprefix(_SQLITE)).absolute())
    else:
        yield from _server(settings)


def _embedded(settings: Settings, path: Path) -> Iterator[Check]:
    return check_embedded(SYSTEM, path, lambda file: _schema(settings, file.query))


def _server(settings: Settings) -> Iterator[Check]:
    from sqlalchemy import make_url  # noqa: PLC0415 - heavy, and only for servers

    try:
        catalog = open_catalog(settings)
    except ConfigurationError as error:
        yield failure(SYSTEM, "configuration", str(error), "correct CATALOG_URL")
        return
    url = make_url(settings.catalog_url)
    with catalog:
        address = Address(url.host or "localhost", url.port or _PORT)
        reached = next(reachable(SYSTEM, [address], "CATALOG_URL"))
        yield reached
        if reached.verdict is not Verdict.FAIL:
            yield from check_server(SYSTEM, catalog.query)
            yield from _schema(settings, catalog.query)


def _schema(settings: Settings, query: Query) -> Iterator[Check]:
    schema = migration_check(SYSTEM, query, settings.catalog_url, SYSTEM)
    yield schema
    if schema.verdict is Verdict.OK:
        yield drift_check(SYSTEM, catalog_drift(settings))
        yield _abandoned(query)


def _abandoned(query: Query) -> Check:
    (row,) = query("SELECT COUNT(*) AS n FROM abandoned_range")
    if row["n"]:
        remedy = "`dicom-pipeline status` lists them and says what to do"
        return warning(SYSTEM, "abandoned ranges", f"{row['n']} wait for an operator", remedy)
    return ok(SYSTEM, "abandoned ranges", "none")
