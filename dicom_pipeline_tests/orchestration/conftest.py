"""An embedded home in the environment, as the code location finds it."""

import dagster as dg
import pytest

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.definitions import definitions
from dicom_pipeline.defs.storage import storage_sensor
from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.messages import ALL_QUEUES
from dicom_pipeline.orchestration.resources import Pipeline
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


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def tick(settings, instance):
    repository = definitions().get_repository_def()

    def tick(cursor=None):
        context = dg.build_sensor_context(
            instance=instance,
            cursor=cursor,
            repository_def=repository,
            resources={"pipeline": Pipeline()},
        )
        return storage_sensor.evaluate_tick(context)

    return tick
