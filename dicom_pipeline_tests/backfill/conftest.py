"""Empty stores: the warehouse is the embedded one, and the double of Doris."""

import pytest

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.messages import ALL_QUEUES
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.warehouse.adapters import ADAPTERS


@pytest.fixture
def settings(tmp_path):
    return Settings(dicom_pipeline_home=tmp_path / "home", worker_node_id="node-1")


@pytest.fixture
def log(settings):
    with open_event_log(settings) as log:
        log.create_topics(ALL_QUEUES, 1)
        yield log


@pytest.fixture(params=ADAPTERS)
def warehouse(request):
    with request.param() as opener, opener() as warehouse:
        warehouse.migrate()
        yield warehouse


@pytest.fixture
def stores(settings, warehouse):
    with open_catalog(settings) as catalog:
        catalog.migrate()
        yield catalog, warehouse
