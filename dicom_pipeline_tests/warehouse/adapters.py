"""The warehouses that must keep the same promises, each fresh and empty."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dicom_pipeline.warehouse import Warehouse
from dicom_pipeline.warehouse.doris.adapter import DorisWarehouse
from dicom_pipeline.warehouse.sqlite import SqliteWarehouse
from dicom_pipeline_tests.services.doris import DorisDouble

Opener = Callable[[], Warehouse]
"""Opens the same warehouse again; can be sent to another process."""
Fresh = Callable[[], AbstractContextManager[Opener]]


@contextmanager
def sqlite() -> Iterator[Opener]:
    with TemporaryDirectory() as folder:
        yield partial(SqliteWarehouse, Path(folder) / "home" / "warehouse.db")


@cache
def shared_double() -> DorisDouble:
    """One for all tests of a process: its threads end with it."""
    return DorisDouble()


@contextmanager
def doris() -> Iterator[Opener]:
    double = shared_double()
    database = double.new_database()
    yield partial(DorisWarehouse, double.url(database))
    double.catalog.drop(database)


ADAPTERS = [pytest.param(sqlite, id="sqlite"), pytest.param(doris, id="doris")]
