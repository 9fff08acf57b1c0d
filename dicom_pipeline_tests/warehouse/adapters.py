"""The warehouses that must keep the same promises, each fresh and empty."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dicom_pipeline.warehouse import Warehouse
from dicom_pipeline.warehouse.sqlite import SqliteWarehouse

Opener = Callable[[], Warehouse]
"""Opens the same warehouse again; can be sent to another process."""
Fresh = Callable[[], AbstractContextManager[Opener]]


@contextmanager
def sqlite() -> Iterator[Opener]:
    with TemporaryDirectory() as folder:
        yield partial(SqliteWarehouse, Path(folder) / "home" / "warehouse.db")


ADAPTERS = [pytest.param(sqlite, id="sqlite")]
