from collections.abc import Iterator

import pytest

from dicom_pipeline.catalog import Catalog
from dicom_pipeline_tests.catalog.adapters import ADAPTERS, Opener


@pytest.fixture(params=ADAPTERS)
def opener(request) -> Iterator[Opener]:
    with request.param() as opener:
        yield opener


@pytest.fixture
def catalog(opener) -> Iterator[Catalog]:
    with opener() as catalog:
        catalog.migrate()
        yield catalog
