from collections.abc import Iterator

import pytest

from dicom_pipeline.warehouse import Warehouse
from dicom_pipeline_tests.warehouse.adapters import ADAPTERS, Opener


@pytest.fixture(params=ADAPTERS)
def opener(request) -> Iterator[Opener]:
    with request.param() as opener:
        yield opener


@pytest.fixture
def warehouse(opener) -> Iterator[Warehouse]:
    with opener() as warehouse:
        warehouse.migrate()
        yield warehouse
