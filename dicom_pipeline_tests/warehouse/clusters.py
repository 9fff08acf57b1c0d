"""Doris doubles for tests, and warehouses that do not wait."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from dicom_pipeline.warehouse import IMAGE
from dicom_pipeline.warehouse.doris.adapter import DorisWarehouse
from dicom_pipeline_tests.services.doris import DorisDouble
from dicom_pipeline_tests.warehouse.samples import row_of, trace


@contextmanager
def fresh_warehouse(
    cluster: DorisDouble, *, migrate: bool = True, **options: object
) -> Iterator[DorisWarehouse]:
    """A warehouse in a database of its own, which pauses hardly at all between attempts."""
    database = cluster.new_database()
    with DorisWarehouse(cluster.url(database, **options)) as warehouse:
        hurry(warehouse)
        if migrate:
            warehouse.migrate()
        yield warehouse
    cluster.catalog.drop(database)


def hurry(warehouse: DorisWarehouse) -> None:
    """Let it pause a hundredth of the time that it means to."""
    really = warehouse._loader.sleep
    warehouse._loader = replace(warehouse._loader, sleep=lambda seconds: really(seconds / 100))


def images(count: int = 3, **more: object) -> list[dict[str, object]]:
    """Rows of as many objects."""
    return [row_of(IMAGE, sop_uid=f"1.4.{n}", trace_id=trace(n), **more) for n in range(count)]


def held(warehouse: DorisWarehouse, table: str = IMAGE) -> object:
    """How many rows a table holds."""
    return warehouse.query(f"SELECT COUNT(*) AS n FROM {table}")[0]["n"]
