"""The catalogs that must keep the same promises, each fresh and empty."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from dicom_pipeline.catalog import Catalog
from dicom_pipeline.catalog.sql import SqlCatalog

Opener = Callable[[], Catalog]
"""Opens the same catalog again; can be sent to another process."""
Fresh = Callable[[], AbstractContextManager[Opener]]


@contextmanager
def sqlite() -> Iterator[Opener]:
    with TemporaryDirectory() as folder:
        yield partial(SqlCatalog, f"sqlite:///{Path(folder) / 'home' / 'catalog.db'}")


ADAPTERS = [pytest.param(sqlite, id="sqlite")]
