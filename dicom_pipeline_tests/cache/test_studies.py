"""Answers about studies: from the cache while nothing was written, never older than a commit."""

import pytest

from dicom_pipeline.cache import Cache, open_cache
from dicom_pipeline.cache.catalog import CachedCatalog, catalog_database
from dicom_pipeline.cache.stores import MemoryStore
from dicom_pipeline.cache.studies import StudyReads
from dicom_pipeline.cli.inspection import inspect
from dicom_pipeline_tests.cache.faults import FaultyStore
from dicom_pipeline_tests.catalog.samples import indexed, rendition, skeleton

OBJECTS = "SELECT tenant_id, number_of_instances AS n FROM study WHERE study_uid = :uid"
RENDITIONS = "SELECT action, COUNT(*) AS n FROM rendition WHERE study_uid = :uid GROUP BY action"


class Reader:
    """Somebody who asks, as another process than the writer."""

    def __init__(self, settings, catalog, cache):
        self.asked = 0
        self.meanwhile = lambda: None
        self._catalog = catalog
        self._reads = StudyReads(cache, catalog_database(catalog, cache, settings), self._query)

    def ask(self, sql=OBJECTS, uid="1.2", **more):
        return self._reads.ask(uid, sql, uid=uid, **more)

    def _query(self, sql, **parameters):
        self.asked += 1
        rows = self._catalog.query(sql, **parameters)
        self.meanwhile()
        return rows


@pytest.fixture
def shared(cache):
    """A cache that several processes see, whatever holds its values."""
    return Cache(FaultyStore(cache._store), cache.options)


@pytest.fixture
def writer(settings, catalog, shared):
    return CachedCatalog(catalog, shared, settings)


@pytest.fixture
def reader(settings, catalog, shared):
    return Reader(settings, catalog, shared)


def test_what_was_asked_once_is_not_asked_again(writer, reader):
    writer.index([indexed()])
    answers = [reader.ask() for _ in range(3)]
    assert answers == [[{"tenant_id": "hospital", "n": 1}]] * 3
    assert reader.asked == 1


def test_that_there_is_nothing_is_an_answer_too(writer, reader):
    assert [reader.ask(), reader.ask()] == [[], []]
    assert reader.asked == 1
    writer.record_storage([], [skeleton(indexed())])
    assert reader.ask() == [{"tenant_id": "hospital", "n": 0}]


def test_two_questions_have_two_answers(writer, reader):
    writer.index([indexed()])
    writer.record_renditions([rendition()])
    for _ in range(2):
        assert reader.ask() == [{"tenant_id": "hospital", "n": 1}]
        assert reader.ask(RENDITIONS) == [{"action": "keep", "n": 1}]
        assert reader.ask(uid="1.9") == []
    assert reader.asked == 3


def test_every_write_about_a_study_takes_its_answers_away(writer, reader):
    writer.index([indexed()])
    assert reader.ask() == [{"tenant_id": "hospital", "n": 1}]
    writer.index([indexed("1.4.2", trace_id="trace-2")])
    assert reader.ask() == [{"tenant_id": "hospital", "n": 2}]
    assert reader.ask(RENDITIONS) == []
    writer.record_renditions([rendition()])
    assert reader.ask(RENDITIONS) == [{"action": "keep", "n": 1}]


def test_an_object_that_is_moved_changes_the_study_it_leaves(writer, reader):
    writer.index([indexed()])
    reader.ask()
    writer.index([indexed(version=2, study="1.9")])
    assert reader.ask() == [{"tenant_id": "hospital", "n": 0}]


def test_an_older_object_whose_parents_are_left_out_changes_the_counts(writer, reader, shared):
    writer.index([indexed(version=2)])
    reader.ask()
    writer.index([indexed("1.4.2", version=1)])
    assert shared.counts.cache_spared_rows == 3
    assert reader.ask() == [{"tenant_id": "hospital", "n": 2}]


def test_an_answer_read_before_a_commit_is_never_given_after_it(writer, reader):
    """Read before, kept after: the writer could not take away what was not there yet."""
    writer.index([indexed()])
    reader.meanwhile = lambda: writer.index([indexed("1.4.2", trace_id="trace-2")])
    assert reader.ask() == [{"tenant_id": "hospital", "n": 1}], "what was so when it was asked"
    reader.meanwhile = lambda: None
    assert reader.ask() == [{"tenant_id": "hospital", "n": 2}]


def test_writes_about_another_study_leave_the_answers_alone(writer, reader):
    writer.index([indexed()])
    reader.ask()
    writer.index([indexed("1.4.9", study="1.9", series="1.3.9")])
    reader.ask()
    assert reader.asked == 1


def test_a_tenant_that_asks_gets_answers_of_its_own(writer, reader):
    own = f"{OBJECTS} AND tenant_id = :tenant_id"
    writer.index([indexed(tenant="north"), indexed(tenant="south")])
    for tenant in ("north", "south", "north", "south"):
        rows = reader.ask(own, tenant=tenant, tenant_id=tenant)
        assert rows == [{"tenant_id": tenant, "n": 1}]
    assert reader.asked == 2
    writer.index([indexed("1.4.2", tenant="north", trace_id="trace-2")])
    assert reader.ask(own, tenant="north", tenant_id="north") == [{"tenant_id": "north", "n": 2}]
    reader.ask(own, tenant="south", tenant_id="south")
    assert reader.asked == 3


@pytest.mark.parametrize("fault", ["away", "garbled", "shifted", "late"])
def test_a_cache_that_fails_is_as_good_as_none(writer, reader, shared, fault):
    writer.index([indexed()])
    shared._store.fault = fault
    for _ in range(2):
        assert reader.ask() == [{"tenant_id": "hospital", "n": 1}]
    assert reader.asked == 2


def test_after_a_flush_it_is_asked_again(writer, reader, shared):
    writer.index([indexed()])
    reader.ask()
    shared._store.flush()
    assert reader.ask() == [{"tenant_id": "hospital", "n": 1}]
    assert reader.asked == 2


def test_what_a_cache_could_not_give_back_as_it_was_is_not_kept(writer, reader):
    reader._catalog = type("", (), {"query": lambda *_, **__: [{"n": b"bytes"}]})()
    assert [reader.ask(), reader.ask()] == [[{"n": b"bytes"}]] * 2
    assert reader.asked == 2


def test_a_process_that_cannot_hear_of_others_writes_keeps_no_answers(settings, catalog):
    cache = Cache(MemoryStore())
    reader = Reader(settings, catalog, cache)
    reader.ask()
    reader.ask()
    assert reader.asked == 2


def test_inspect_tells_what_has_just_been_written(settings, catalog, warehouse):
    with open_cache(settings) as cache:
        writer = CachedCatalog(catalog, cache, settings)
        for number in (1, 2):
            writer.index([indexed(f"1.4.{number}", trace_id=f"trace-{number}")])
            for _ in range(2):
                (found,) = inspect(settings, "1.2", patient=True)
                assert found.sections["Study"][0]["number_of_instances"] == number
                assert found.sections["Patient"][0]["patient_id"] == "A1"


@pytest.mark.service
def test_what_inspect_keeps_holds_no_patient(settings, catalog, warehouse, redis_server):
    url = redis_server.fresh_url()
    settings = settings.model_validate({**settings.model_dump(), "cache_url": url})
    named = indexed(patient="ZHANG-4711")
    named = named._replace(patient={**named.patient, "patient_name_alphabetic": "Zhang^San"})
    with open_cache(settings) as cache:
        CachedCatalog(catalog, cache, settings).index([named])
    assert inspect(settings, "1.2", patient=True)
    with redis_server.admin() as client:
        keys = client.keys(f"{url.split('prefix=')[1].split('&')[0]}:*")
        kept = b" ".join([*keys, *client.mget(keys)])
    assert len(keys) > 4
    assert b"4711" not in kept
    assert b"Zhang" not in kept
