"""The catalogs that must keep the same promises, each fresh and empty."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from dicom_pipeline.catalog import Catalog
from dicom_pipeline.catalog.sql import SqlCatalog
from dicom_pipeline_tests.services.mariadb import MariaDb

Opener = Callable[[], Catalog]
"""Opens the same catalog again; can be sent to another process."""
Fresh = Callable[[], AbstractContextManager[Opener]]


@contextmanager
def on_sqlite() -> Iterator[Opener]:
    with TemporaryDirectory() as folder:
        yield partial(SqlCatalog, f"sqlite:///{Path(folder) / 'home' / 'catalog.db'}")


@contextmanager
def on_mariadb(server: MariaDb) -> Iterator[Opener]:
    with server.fresh_database() as url:
        yield partial(SqlCatalog, url)
