"""Whatever is written, replayed, rolled back or lost in whatever order: the same tables."""

import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dicom_pipeline.cache import Cache, open_cache
from dicom_pipeline.cache.catalog import CachedCatalog
from dicom_pipeline.cache.stores import MemoryStore
from dicom_pipeline.cache.warehouse import CachedWarehouse
from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.errors import PermanentError
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import PATIENT, SERIES, STUDY, open_warehouse
from dicom_pipeline_tests.cache.faults import FAULTS, FaultyStore
from dicom_pipeline_tests.catalog.samples import contents, indexed, skeleton

MEMORY = Path("/dev/shm")
QUICK = str(MEMORY) if MEMORY.is_dir() else None
"""Where hundreds of small commits need not wait for a disk."""

WAREHOUSE_TABLES = {PATIENT: "patient", STUDY: "study", SERIES: "series"}

# Few values, so that the same keys, orders, and orders with other values come again and again.
receipts = st.builds(
    indexed,
    st.sampled_from(["1.4.1", "1.4.2"]),
    version=st.integers(1, 3),
    trace_id=st.sampled_from(["a", "b"]),
    tenant=st.sampled_from(["north", "south"]),
    patient=st.sampled_from(["A1", "a1"]),
    series=st.sampled_from(["1.3.1", "1.3.2"]),
)


def saying(item, said):
    """The same object as another version of the program reads it."""
    return item._replace(
        patient={**item.patient, "patient_comments": said},
        study={**item.study, "study_description": said},
        series={**item.series, "series_description": said},
    )


batches = st.lists(st.builds(saying, receipts, st.sampled_from(["x", "y"])), min_size=1, max_size=3)
steps = st.one_of(
    st.tuples(st.just("index"), batches),
    st.tuples(st.just("index"), batches),
    st.tuples(st.just("record_storage"), batches),
    st.tuples(st.just("roll_back"), batches),
    st.tuples(st.just("write_elsewhere"), batches),
    st.tuples(st.just("fault"), st.sampled_from(FAULTS)),
    st.tuples(st.sampled_from(["flush", "deliver", "open_again"]), st.none()),
)


class Plain:
    """Writes to a catalog and a warehouse without a cache."""

    def __init__(self, catalog, warehouse):
        self.catalog = catalog
        self.warehouse = warehouse

    def index(self, batch):
        self.catalog.index(batch)
        for table, level in WAREHOUSE_TABLES.items():
            self.warehouse.load(table, [getattr(item, level) for item in batch], "label")

    def record_storage(self, batch):
        self.catalog.record_storage([], [skeleton(item) for item in batch])

    def roll_back(self, batch):
        """A batch with an object that the catalog refuses."""
        refused = indexed("1.4.9", version=9, trace_id="z")
        refused = refused._replace(instance={**refused.instance, "image_comments": "\ud800"})
        with pytest.raises(PermanentError):
            self.index([*batch, refused])

    write_elsewhere = index

    def fault(self, name): ...

    def flush(self, _): ...

    def deliver(self, _): ...

    def open_again(self, _): ...

    def tables(self):
        rows = {
            table: sorted(self.warehouse.query(f"SELECT * FROM {table}"), key=repr)
            for table in WAREHOUSE_TABLES
        }
        return {**contents(self.catalog), **rows}


class Cached(Plain):
    """The same through a cache that fails."""

    def __init__(self, catalog, warehouse, store, options, settings):
        self._systems = catalog, warehouse
        self._elsewhere = Plain(catalog, warehouse)
        self._store = FaultyStore(store)
        self._options = options
        self._settings = settings
        self.open_again(None)

    def open_again(self, _):
        """As the next run does."""
        catalog, warehouse = self._systems
        cache = Cache(self._store, self._options)
        super().__init__(
            CachedCatalog(catalog, cache, self._settings),
            CachedWarehouse(warehouse, cache, self._settings),
        )

    def write_elsewhere(self, batch):
        self._elsewhere.index(batch)

    def fault(self, name):
        self._store.fault = name

    def flush(self, _):
        self._store.flush()

    def deliver(self, _):
        self._store.deliver()


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A home with empty tables."""
    home = tmp_path_factory.mktemp("template")
    settings = Settings(dicom_pipeline_home=home)
    with open_catalog(settings) as catalog, open_warehouse(settings) as warehouse:
        catalog.migrate()
        warehouse.migrate()
    return home


@contextmanager
def two_worlds(template, cache_url):
    """One without a cache and one with it, both empty."""
    with ExitStack() as stack:
        opened = []
        for _ in range(2):
            home = Path(stack.enter_context(TemporaryDirectory(dir=QUICK)))
            shutil.copytree(template, home, dirs_exist_ok=True)
            settings = Settings(dicom_pipeline_home=home, cache_url=cache_url)
            catalog = stack.enter_context(open_catalog(settings))
            opened.append((catalog, stack.enter_context(open_warehouse(settings))))
        cache = stack.enter_context(open_cache(settings))
        store = MemoryStore() if cache_url == "" else cache._store
        yield Plain(*opened[0]), Cached(*opened[1], store, cache.options, settings)


def do_and_compare(template, cache_url, some_steps):
    with two_worlds(template, cache_url) as worlds:
        for name, argument in some_steps:
            for world in worlds:
                getattr(world, name)(argument)
        plain, cached = worlds
        assert cached.tables() == plain.tables()


@hypothesis_settings(max_examples=40, deadline=None)
@given(some_steps=st.lists(steps, min_size=4, max_size=12))
def test_any_interleaving_gives_the_tables_that_it_gives_without_a_cache(template, some_steps):
    do_and_compare(template, "", some_steps)


@pytest.mark.service
@hypothesis_settings(max_examples=6, deadline=None)
@given(some_steps=st.lists(steps, min_size=4, max_size=12))
def test_any_interleaving_with_a_real_redis_gives_the_same_tables(
    template, redis_server, some_steps
):
    do_and_compare(template, redis_server.fresh_url(), some_steps)


def test_runs_side_by_side_that_share_a_cache_give_the_tables_of_one_run(template, tmp_path):
    chance = random.Random(7)
    objects = [
        indexed(
            f"1.4.{number % 20}",
            version=number,
            trace_id=f"trace-{number}",
            patient=f"A{number % 2}",
            series=f"1.3.{number % 3}",
        )
        for number in range(120)
    ]
    chance.shuffle(objects)
    store = MemoryStore()

    def run(part):
        settings = Settings(dicom_pipeline_home=tmp_path)
        cache = Cache(store)
        with open_catalog(settings) as catalog:
            cached = CachedCatalog(catalog, cache, settings)
            for start in range(0, len(part), 3):
                cached.record_storage([], [skeleton(item) for item in part[start : start + 3]])
                cached.index(part[start : start + 3])
        return cache.counts.cache_spared_rows

    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    with ThreadPoolExecutor(4) as pool:
        spared = list(pool.map(run, [objects[number::4] for number in range(4)]))
    assert sum(spared) > 20
    with two_worlds(template, "") as (plain, _):
        plain.catalog.index(objects)
        with open_catalog(Settings(dicom_pipeline_home=tmp_path)) as catalog:
            assert contents(catalog) == contents(plain.catalog)
