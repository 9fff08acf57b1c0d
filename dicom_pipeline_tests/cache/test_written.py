"""Which rows are left out, and which never are."""

from contextlib import closing

import pytest

from dicom_pipeline.cache import open_cache
from dicom_pipeline.cache.catalog import CachedCatalog
from dicom_pipeline.cache.warehouse import CachedWarehouse
from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.errors import PermanentError
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import IMAGE, PATIENT, SERIES, STUDY
from dicom_pipeline_tests.catalog.samples import contents, indexed, skeleton
from dicom_pipeline_tests.warehouse.samples import row_of


@pytest.fixture
def cached(catalog, cache, settings):
    return CachedCatalog(catalog, cache, settings)


def versions(catalog, table="series"):
    return [row["row_version"] for row in catalog.query(f"SELECT row_version FROM {table}")]


def test_parents_older_than_what_was_written_are_left_out(cached, cache):
    cached.index([indexed("1.4.2", version=2, trace_id="b")])
    assert not cache.counts.cache_spared_rows
    cached.index([indexed("1.4.1", version=1, trace_id="a")])
    assert cache.counts.cache_spared_rows == 3
    assert versions(cached) == [2]
    assert sorted(versions(cached, "instance")) == [1, 2]
    (series,) = cached.query("SELECT number_of_instances, total_size FROM series")
    assert series == {"number_of_instances": 2, "total_size": 200}


def test_of_equal_versions_the_smaller_trace_id_is_the_older_one(cached, cache):
    cached.index([indexed(trace_id="b")])
    cached.index([indexed("1.4.2", trace_id="a")])
    assert cache.counts.cache_spared_rows == 3
    assert cached.query("SELECT trace_id FROM series") == [{"trace_id": "b"}]


def test_a_newer_row_is_always_written(cached, cache):
    for version in (1, 2, 3):
        cached.index([indexed(version=version)])
    assert versions(cached) == [3]
    assert not cache.counts.cache_spared_rows


def test_a_replay_by_a_mended_program_has_an_effect(cached):
    cached.index([indexed()])
    item = indexed()
    mended = item._replace(series={**item.series, "series_description": "read right"})
    for said, objects in (("read right", [mended]), ("said by trace-1", [item])):
        cached.index(objects)
        assert cached.query("SELECT series_description AS said FROM series") == [{"said": said}]


def test_skeletons_are_left_out_once_the_header_was_read(cached, cache):
    cached.record_storage([], [skeleton(indexed())])
    cached.index([indexed()])
    before = contents(cached)
    cached.record_storage([], [skeleton(indexed(trace_id="later"))])
    assert cache.counts.cache_spared_rows == 3
    assert contents(cached) == before


def test_what_another_process_has_written_is_known_too(cached, catalog, settings, cache):
    cached.index([indexed(version=2)])
    with open_cache(settings) as other:
        CachedCatalog(catalog, other, settings).index([indexed("1.4.2", version=1)])
        assert other.counts.cache_spared_rows == (3 if cache.shared else 0)
    assert versions(cached) == [2]


def test_tenants_know_nothing_of_each_other(cached, cache):
    cached.index([indexed(tenant="north", version=2)])
    cached.index([indexed(tenant="south", version=1)])
    assert not cache.counts.cache_spared_rows
    assert sorted(versions(cached)) == [1, 2]


def test_a_write_that_is_rolled_back_leaves_no_note(cached, cache):
    item = indexed(version=2)
    refused = item._replace(instance={**item.instance, "image_comments": "\ud800"})
    with pytest.raises(PermanentError):
        cached.index([refused])
    cached.index([indexed(version=1)])
    assert versions(cached) == [1]
    assert not cache.counts.cache_spared_rows


def test_a_row_that_the_table_refuses_is_refused_as_without_the_cache(cached):
    item = indexed()
    for row in ({"series_uid": None}, {"row_version": 1 << 70}, {"trace_id": "\ud800"}):
        with pytest.raises(PermanentError):
            cached.index([item._replace(series={**item.series, **row})])


def test_tables_that_were_made_anew_are_another_database(cached, cache, settings):
    cached.index([indexed(version=2)])
    cached.close()
    for file in settings.home.glob("catalog.db*"):
        file.unlink()
    with open_catalog(settings) as catalog:
        catalog.migrate()
        again = CachedCatalog(catalog, cache, settings)
        again.index([indexed(version=1)])
        assert versions(again) == [1]


def test_a_database_elsewhere_is_another_database(cached, cache, settings, tmp_path):
    cached.index([indexed(version=2)])
    copied = Settings(dicom_pipeline_home=tmp_path / "copied", cache_url=settings.cache_url)
    with open_catalog(copied) as catalog:
        catalog.migrate()
        other = CachedCatalog(catalog, cache, copied)
        other.index([indexed(version=1)])
        assert versions(other) == [1]


def test_tables_that_are_not_there_yet_are_no_business_of_the_cache(settings, cache):
    with open_catalog(settings) as catalog, closing(CachedCatalog(catalog, cache, settings)) as one:
        assert one.migrate()
        one.index([indexed()])
        assert versions(one) == [1]


@pytest.mark.parametrize("table", [PATIENT, STUDY, SERIES])
def test_a_load_of_which_nothing_is_left_is_left_out(warehouse, cache, settings, table):
    loads = []
    load = warehouse.load
    warehouse.load = lambda *args: loads.append(args) or load(*args)
    cached = CachedWarehouse(warehouse, cache, settings)
    newer, older = row_of(table, row_version=2), row_of(table, row_version=1)
    assert cached.load(table, [older, newer], "label-1") == 1
    assert cached.load(table, [older, older], "label-2") == 0
    assert cached.load(table, [], "label-3") == 0
    assert loads == [(table, [newer], "label-1")]
    assert versions(cached, table) == [2]


def test_rows_of_images_are_never_left_out(warehouse, cache, settings):
    cached = CachedWarehouse(warehouse, cache, settings)
    for version in (2, 1):
        assert cached.load(IMAGE, [row_of(IMAGE, row_version=version)], "label") == 1
    assert not cache.counts.cache_spared_rows


def test_catalog_and_warehouse_are_two_databases(settings, cache, catalog, warehouse):
    CachedCatalog(catalog, cache, settings).index([indexed(version=2)])
    cached = CachedWarehouse(warehouse, cache, settings)
    cached.load(SERIES, [{**indexed(version=1).series}], "label")
    assert versions(cached, SERIES) == [1]


@pytest.mark.parametrize("order", [(0, 1, 2, 3, 4), (4, 2, 0, 1, 3)])
def test_a_replay_of_what_a_restored_database_lost_brings_everything_back(settings, cache, order):
    """Though the cache remembers all of it, each range being replayed on its own."""
    objects = [indexed(f"1.4.{n}", version=n, trace_id=f"trace-{n}") for n in range(5)]
    file = settings.home / "catalog.db"
    with open_catalog(settings) as catalog:
        catalog.migrate()
    backup = file.read_bytes()
    with open_catalog(settings) as catalog:
        cached = CachedCatalog(catalog, cache, settings)
        for item in objects:
            cached.index([item])
        before = contents(cached)
    file.write_bytes(backup)
    with open_catalog(settings) as catalog:
        cached = CachedCatalog(catalog, cache, settings)
        assert contents(cached) != before
        for number in order:
            cached.index([objects[number]])
        assert cache.counts.cache_spared_rows
        assert contents(cached) == before
