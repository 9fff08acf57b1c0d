"""An embedded home in the environment, as the code location finds it."""

import pytest

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.messages import ALL_QUEUES
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import open_warehouse


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("DICOM_PIPELINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORKER_NODE_ID", "node-1")
    settings = Settings()
    with (
        open_event_log(settings) as log,
        open_catalog(settings) as catalog,
        open_warehouse(settings) as warehouse,
    ):
        log.create_topics(ALL_QUEUES, 1)
        catalog.migrate()
        warehouse.migrate()
    return settings


@pytest.fixture
def log(settings):
    with open_event_log(settings) as log:
        yield log


@pytest.fixture
def catalog(settings):
    with open_catalog(settings) as catalog:
        yield catalog
