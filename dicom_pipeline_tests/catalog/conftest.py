from collections.abc import Iterator
from functools import partial

import pytest

from dicom_pipeline.catalog import Catalog
from dicom_pipeline_tests.catalog.adapters import Fresh, Opener, on_mariadb, on_sqlite


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.service)])
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
