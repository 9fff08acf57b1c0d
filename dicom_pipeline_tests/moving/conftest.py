import pytest

from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.moving.homes import open_home


@pytest.fixture
def source(tmp_path):
    with open_home(Settings(dicom_pipeline_home=tmp_path / "old")) as home:
        yield home


@pytest.fixture
def target(tmp_path):
    settings = Settings(dicom_pipeline_home=tmp_path / "new", event_log_partitions=3)
    with open_home(settings) as home:
        yield home
