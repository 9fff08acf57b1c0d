"""What a catalog on a server meets besides: many writers at once, and a server that is killed."""

import multiprocessing
import random
import threading
import time
from contextlib import suppress
from functools import partial

import pytest

from dicom_pipeline.catalog import instances, sql
from dicom_pipeline.catalog.sql import SqlCatalog
from dicom_pipeline.errors import TransientError
from dicom_pipeline_tests.catalog.samples import contents, indexed, skeleton, storage_record

pytestmark = pytest.mark.service

WRITERS = 3
ROUNDS = 12
PATIENTS, STUDIES, SERIES, OBJECTS = ["A1", "a1"], ["1.2.1", "1.2.2"], ["1.3.1", "1.3.2"], 12

COUNTED = {
    "patient": "patient_id",
    "study": "study_uid",
    "series": "study_uid, series_uid",
}


@pytest.fixture
def open_catalog(mariadb_url):
    """Opens the same migrated catalog again."""
    with SqlCatalog(mariadb_url) as catalog:
        catalog.migrate()
    return partial(SqlCatalog, mariadb_url)


@pytest.fixture
def catalog(open_catalog):
    with open_catalog() as catalog:
        yield catalog


def wrong_counts(catalog):
    """The parents whose counts are not those of their instances."""
    return {
        table: catalog.query(
            f"SELECT {key}, number_of_instances, total_size, "
            "COALESCE(n, 0) AS n, COALESCE(size, 0) AS size "
            f"FROM {table} LEFT JOIN (SELECT {key}, COUNT(*) AS n, SUM(file_size) AS size "
            f"FROM instance GROUP BY {key}) AS counted USING ({key}) "
            "WHERE number_of_instances <> COALESCE(n, 0) OR total_size <> COALESCE(size, 0)"
        )
        for table, key in COUNTED.items()
    }


NONE_WRONG = {table: [] for table in COUNTED}


def move_objects(open_catalog, writer):
    """Run in another process: index the same few objects, again and again in other studies."""
    chance = random.Random(writer)
    with open_catalog() as catalog:
        for number in range(ROUNDS):
            objects = [
                indexed(
                    f"1.4.{chance.randrange(OBJECTS)}",
                    version=chance.randrange(1000),
                    trace_id=f"{writer}-{number}-{n}",
                    patient=chance.choice(PATIENTS),
                    study=chance.choice(STUDIES),
                    series=chance.choice(SERIES),
                    size=chance.randrange(100),
                )
                for n in range(8)
            ]
            catalog.record_storage([], [skeleton(one) for one in objects])
            catalog.index(objects)


def test_processes_that_move_the_same_objects_between_studies_leave_right_counts(
    open_catalog, catalog
):
    context = multiprocessing.get_context("spawn")
    writers = [
        context.Process(target=move_objects, args=(open_catalog, writer))
        for writer in range(WRITERS)
    ]
    for one in writers:
        one.start()
    for one in writers:
        one.join(120)
    assert [one.exitcode for one in writers] == [0] * WRITERS
    assert catalog.query("SELECT COUNT(*) AS n FROM instance") == [{"n": OBJECTS}]
    assert wrong_counts(catalog) == NONE_WRONG


def test_an_object_that_another_inserts_after_our_look_is_counted_in_one_study(
    open_catalog, catalog, monkeypatch
):
    insert_missing = instances.insert_missing
    others = [indexed(study="1.2.1", version=1)]

    def after_another(connection, table, rows):
        if others:
            with open_catalog() as other:
                other.index([others.pop()])
        insert_missing(connection, table, rows)

    monkeypatch.setattr(instances, "insert_missing", after_another)
    catalog.index([indexed(study="1.2.2", version=2)])
    assert catalog.query("SELECT study_uid FROM instance") == [{"study_uid": "1.2.2"}]
    assert wrong_counts(catalog) == NONE_WRONG


def test_a_count_that_waited_for_another_writer_sees_what_that_one_has_committed(
    open_catalog, catalog, monkeypatch
):
    """The series was there before, so nobody writes its row before it is counted."""
    catalog.index([indexed("1.4.0")])
    without_parents = indexed("1.4.1")._replace(patient=None, study=None, series=None)
    counted, may_commit = threading.Event(), threading.Event()
    recount = sql.recount

    def recount_and_wait(*arguments):
        recount(*arguments)
        if not counted.is_set():
            counted.set()
            may_commit.wait(20)

    monkeypatch.setattr(sql, "recount", recount_and_wait)
    first = threading.Thread(target=catalog.index, args=([without_parents],))
    first.start()
    assert counted.wait(20)
    with open_catalog() as other:
        item = indexed("1.4.2")._replace(patient=None, study=None, series=None)
        second = threading.Thread(target=other.index, args=([item],))
        second.start()
        second.join(0.5)
        may_commit.set()
        first.join(20)
        second.join(20)
    assert catalog.query("SELECT number_of_instances FROM series") == [{"number_of_instances": 3}]
    assert wrong_counts(catalog) == NONE_WRONG


def test_a_batch_whose_connection_is_cut_in_the_middle_is_written_all_the_same(
    catalog, mariadb, mariadb_url, monkeypatch
):
    upsert = sql.upsert
    cut = []

    def upsert_and_cut(connection, table, rows, **order):
        upsert(connection, table, rows, **order)
        if not cut and table.name == "study":
            cut.append(mariadb.kill_connections(mariadb_url.rpartition("/")[2]))

    monkeypatch.setattr(sql, "upsert", upsert_and_cut)
    catalog.index([indexed()])
    assert cut == [1]
    assert wrong_counts(catalog) == NONE_WRONG
    assert len(catalog.query("SELECT * FROM instance")) == 1


def test_a_server_killed_under_way_loses_no_batch_that_was_reported_written(
    open_catalog, catalog, mariadb
):
    """A writer that repeats what failed, as runs do; the server is killed three times meanwhile."""
    written, failures = [], []
    batches = 60

    def write_all():
        with open_catalog() as mine:
            for batch in range(batches):
                objects = [indexed(f"1.4.{batch}.{n}", trace_id=f"{batch}-{n}") for n in range(20)]
                records = [
                    storage_record(f"{batch}-{n}.dcm", sop_uid=f"1.4.{batch}.{n}")
                    for n in range(20)
                ]
                while True:
                    try:
                        mine.record_storage(records, [])
                        mine.index(objects)
                    except TransientError as error:
                        failures.append(error)
                        time.sleep(0.05)
                    else:
                        break
                written.append(batch)

    writer = threading.Thread(target=write_all)
    writer.start()
    for number in range(1, 4):
        while len(written) < number * batches // 5 and writer.is_alive():
            time.sleep(0.01)
        mariadb.kill()
        seen = len(failures)
        with suppress(TimeoutError):
            wait_until(lambda seen=seen: len(failures) > seen, 5)
        mariadb.start()
    writer.join(120)
    assert len(written) == batches
    assert failures, "the writer noticed nothing"
    assert catalog.query("SELECT COUNT(*) AS n FROM storage_record") == [{"n": batches * 20}]
    assert catalog.query("SELECT COUNT(*) AS n FROM instance") == [{"n": batches * 20}]
    assert wrong_counts(catalog) == NONE_WRONG


def wait_until(reached, seconds):
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.01)


def test_a_batch_larger_than_a_packet_of_the_server_is_written(open_catalog, catalog):
    text = "x" * 10_000
    items = [indexed(f"1.4.{n}", trace_id=f"trace-{n:04d}") for n in range(2000)]
    catalog.index(
        [one._replace(instance={**one.instance, "image_comments": text}) for one in items]
    )
    assert catalog.query("SELECT number_of_instances FROM study") == [{"number_of_instances": 2000}]
    assert catalog.query("SELECT @@max_allowed_packet AS bytes")[0]["bytes"] < 2000 * len(text)


def test_text_of_every_script_survives(catalog):
    name = "張^三=𠮷田^はなこ=홍^길동 ﷽ 👩‍⚕️"
    item = indexed(patient="病歷-𠮷 ")
    catalog.index([item._replace(patient={**item.patient, "patient_name_ideographic": name})])
    assert catalog.query("SELECT patient_id, patient_name_ideographic AS name FROM patient") == [
        {"patient_id": "病歷-𠮷 ", "name": name}
    ]
    assert catalog.query(
        "SELECT COUNT(*) AS n FROM patient WHERE patient_id = :id", id="病歷-𠮷 "
    ) == [{"n": 1}]
    assert contents(catalog)["instance"][0]["patient_id"] == "病歷-𠮷 "


@pytest.mark.parametrize(
    ("sql_text", "index"),
    [
        ("SELECT * FROM instance WHERE sop_uid = '1'", "instance_by_uid"),
        ("SELECT * FROM instance WHERE series_uid = '1'", "instance_by_series_uid"),
        ("SELECT * FROM instance WHERE study_uid = '1'", "instance_by_series"),
        ("SELECT * FROM storage_record WHERE sop_uid = '1'", "storage_record_by_object"),
        ("SELECT * FROM rendition WHERE sop_uid = '1'", "rendition_by_uid"),
        ("SELECT * FROM rendition WHERE series_uid = '1'", "rendition_by_series_uid"),
        ("SELECT * FROM rendition WHERE study_uid = '1'", "rendition_by_series"),
        ("SELECT * FROM series WHERE series_uid = '1'", "series_by_uid"),
        ("SELECT * FROM series WHERE study_uid = '1'", "series_by_study"),
        ("SELECT * FROM study WHERE study_uid = '1'", "study_by_uid"),
        ("SELECT action, COUNT(*) FROM rendition GROUP BY action", "rendition_by_action"),
    ],
)
def test_what_people_ask_by_a_uid_finds_an_index(catalog, sql_text, index):
    catalog.record_storage([storage_record(f"{n}.dcm", sop_uid=f"{n}") for n in range(50)], [])
    catalog.index([indexed(f"{n}", study=f"1.{n}", series=f"2.{n}") for n in range(50)])
    (plan, *_) = catalog.query(f"EXPLAIN {sql_text}")
    assert plan["key"] == index
