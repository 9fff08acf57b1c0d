"""Every cache that must keep the same promises, fresh and empty; a catalog and a warehouse."""

import pytest

from dicom_pipeline.cache import open_cache
from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import open_warehouse

ADAPTERS = [
    pytest.param("memory", id="memory"),
    pytest.param("redis", id="redis", marks=pytest.mark.service),
]


@pytest.fixture(params=ADAPTERS)
def cache_url(request) -> str:
    if request.param == "memory":
        return ""
    return request.getfixturevalue("redis_server").fresh_url()


@pytest.fixture
def settings(tmp_path, cache_url) -> Settings:
    return Settings(dicom_pipeline_home=tmp_path / "home", cache_url=cache_url)


@pytest.fixture
def cache(settings):
    with open_cache(settings) as cache:
        yield cache


@pytest.fixture
def catalog(settings):
    with open_catalog(settings) as catalog:
        catalog.migrate()
        yield catalog


@pytest.fixture
def warehouse(settings):
    with open_warehouse(settings) as warehouse:
        warehouse.migrate()
        yield warehouse
