from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from dicom_pipeline.catalog import Catalog
from dicom_pipeline_tests.catalog.adapters import (
    EmptiedOnMariaDb,
    Fresh,
    Opener,
    on_mariadb,
    on_sqlite,
)

ADAPTERS = ["sqlite", pytest.param("mariadb", marks=pytest.mark.service)]


@pytest.fixture(scope="module", params=ADAPTERS)
def emptied(request) -> Iterator[Fresh]:
    """Makes empty catalogs, of every adapter in turn; for tests that need many."""
    if request.param == "sqlite":
        yield on_sqlite
        return
    with ExitStack() as databases:
        yield EmptiedOnMariaDb(request.getfixturevalue("mariadb"), databases)


@pytest.fixture(params=ADAPTERS)
def fresh(request) -> Fresh:
    """Makes fresh catalogs, of every adapter in turn."""
    if request.param == "sqlite":
        return on_sqlite
    return partial(on_mariadb, request.getfixturevalue("mariadb"))


@pytest.fixture
def opener(fresh) -> Iterator[Opener]:
    with fresh() as opener:
        yield opener


@pytest.fixture
def catalog(opener) -> Iterator[Catalog]:
    with opener() as catalog:
        catalog.migrate()
        yield catalog
