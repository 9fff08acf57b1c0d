from collections.abc import Iterator

import pytest

from dicom_pipeline.warehouse import Warehouse
from dicom_pipeline.warehouse.doris.adapter import DorisWarehouse
from dicom_pipeline_tests.services.doris import DorisDouble
from dicom_pipeline_tests.warehouse.adapters import ADAPTERS, Opener
from dicom_pipeline_tests.warehouse.clusters import fresh_warehouse


@pytest.fixture(params=ADAPTERS)
def opener(request) -> Iterator[Opener]:
    with request.param() as opener:
        yield opener


@pytest.fixture
def warehouse(opener) -> Iterator[Warehouse]:
    with opener() as warehouse:
        warehouse.migrate()
        yield warehouse


@pytest.fixture(scope="module")
def cluster() -> Iterator[DorisDouble]:
    """Two frontends and two backends."""
    with DorisDouble(frontends=2, backends=2) as double:
        yield double


@pytest.fixture
def doris(cluster) -> Iterator[DorisWarehouse]:
    """A fresh warehouse in ``cluster``, which is whole again afterwards."""
    with fresh_warehouse(cluster) as warehouse:
        cluster.asked.clear()
        cluster.loads.clear()
        yield warehouse
    cluster.faults.clear()
    for node in (*cluster.frontends, *cluster.backends):
        if not node.alive:
            node.start()
