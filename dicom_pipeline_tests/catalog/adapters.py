"""The catalogs that must keep the same promises, each fresh and empty."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from dicom_pipeline.catalog import Catalog
from dicom_pipeline.catalog.sql import SqlCatalog
from dicom_pipeline.catalog.tables import METADATA
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


class EmptiedOnMariaDb:
    """Catalogs on a server, emptied and used again: to make the tables takes the longest."""

    def __init__(self, server: MariaDb, databases: ExitStack) -> None:
        self._server = server
        self._databases = databases
        self._free: list[str] = []

    @contextmanager
    def __call__(self) -> Iterator[Opener]:
        url = (
            self._free.pop()
            if self._free
            else self._databases.enter_context(self._server.fresh_database())
        )
        yield partial(SqlCatalog, url)
        with SqlCatalog(url) as catalog, catalog._database.write() as connection:
            for table in METADATA.sorted_tables:
                connection.execute(table.delete())
        self._free.append(url)
