"""Every database tells the cache which one it is."""

import pytest

from dicom_pipeline.cache import Cache
from dicom_pipeline.cache.catalog import CachedCatalog
from dicom_pipeline.cache.databases import Database
from dicom_pipeline.cache.stores import MemoryStore
from dicom_pipeline.cache.warehouse import CachedWarehouse
from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.errors import TransientError
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import SERIES, open_warehouse
from dicom_pipeline_tests.catalog.samples import indexed
from dicom_pipeline_tests.warehouse.adapters import shared_double
from dicom_pipeline_tests.warehouse.samples import row_of

MIGRATIONS = [{"number": 1, "checksum": "ab", "applied_at": "2026-01-31T12:00:00.000001+00:00"}]


@pytest.fixture
def cache():
    return Cache(MemoryStore())


def key(cache, url, rows=MIGRATIONS):
    keys = Database(cache, url, lambda _: rows).keys()
    return keys.study_token("north", "1.2") if keys else None


def test_user_and_password_do_not_make_another_database(cache):
    url = "mysql+pymysql://me:secret@db.hospital:3306/catalog"
    other = "mysql+pymysql://you:changed@db.hospital:3306/catalog?ssl_ca=/etc/ca.pem"
    assert key(cache, url) == key(cache, other)


@pytest.mark.parametrize(
    "url",
    [
        "mysql+pymysql://me:secret@db.clinic:3306/catalog",
        "mysql+pymysql://me:secret@db.hospital:3307/catalog",
        "mysql+pymysql://me:secret@db.hospital:3306/copy",
        "sqlite:////var/lib/catalog.db",
    ],
)
def test_another_address_is_another_database(cache, url):
    assert key(cache, url) != key(cache, "mysql+pymysql://me:secret@db.hospital:3306/catalog")


def test_tables_made_at_another_time_are_another_database(cache):
    later = [{**MIGRATIONS[0], "applied_at": "2026-01-31T12:00:00.000002+00:00"}]
    assert key(cache, "sqlite:////a") != key(cache, "sqlite:////a", later)


def test_a_database_that_is_away_is_asked_again(cache):
    answers = [TransientError("away"), [], MIGRATIONS]

    def query(_):
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    database = Database(cache, "sqlite:////a", query)
    assert [database.keys() is None for _ in range(4)] == [True, True, False, False]


@pytest.mark.service
def test_a_catalog_in_mysql_is_spared_what_it_has(cache, mariadb_url, tmp_path):
    settings = Settings(dicom_pipeline_home=tmp_path, catalog_url=mariadb_url)
    with open_catalog(settings) as catalog:
        catalog.migrate()
        cached = CachedCatalog(catalog, cache, settings)
        cached.index([indexed(version=2)])
        cached.index([indexed("1.4.2", version=1)])
        assert cache.counts.cache_spared_rows == 3
        assert cached.query("SELECT row_version, number_of_instances AS n FROM series") == [
            {"row_version": 2, "n": 2}
        ]


def test_a_warehouse_in_doris_is_spared_what_it_has(cache, tmp_path):
    double = shared_double()
    database = double.new_database()
    settings = Settings(dicom_pipeline_home=tmp_path, warehouse_url=double.url(database))
    with open_warehouse(settings) as warehouse:
        warehouse.migrate()
        cached = CachedWarehouse(warehouse, cache, settings)
        assert cached.load(SERIES, [row_of(SERIES, row_version=2)], "label-1") == 1
        assert cached.load(SERIES, [row_of(SERIES, row_version=1)], "label-2") == 0
        assert cached.query(f"SELECT row_version FROM {SERIES}") == [{"row_version": 2}]
    double.catalog.drop(database)
