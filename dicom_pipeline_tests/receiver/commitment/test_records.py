import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import PurePosixPath

import pytest

from dicom_pipeline.errors import TransientError
from dicom_pipeline_tests.receiver.commitment.stored import START, new_uid
from receiver.commitment.records import SCHEMA, Placement, day_of, find, forget_older, insert

DAY = 86_400_000_000
FOLDER = "default/20240131/1.2.3/1.2.3.4"


@pytest.fixture
def connection(stored):
    with closing(sqlite3.connect(stored.outboxes / "node.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(SCHEMA)
        yield connection


def count(connection, table):
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def test_the_files_of_an_object_are_found_while_their_receiver_holds_the_outbox(stored, connection):
    plain, again, other = f"{FOLDER}/1.1.dcm", f"{FOLDER}/1.1~{START}.dcm", f"{FOLDER}/1.2.dcm"
    with connection:
        insert(connection, [Placement(path, START) for path in (plain, again, other)])
    assert find(stored.outboxes, "default", ["1.1", "1.9"]) == {
        "1.1": [PurePosixPath(plain), PurePosixPath(again)]
    }


def test_the_files_of_an_object_are_found_after_its_receiver_has_stopped(stored, connection):
    with connection:
        insert(connection, [Placement(f"{FOLDER}/1.1.dcm", START)])
    connection.close()
    assert find(stored.outboxes, "default", ["1.1"])


def test_records_of_every_outbox_count(stored, connection):
    stored.record((f"{FOLDER}/1.1.dcm", START), node="first")
    stored.record((f"{FOLDER}/1.1.dcm", START), ("default/x/1/2/1.2.dcm", START), node="second")
    found = find(stored.outboxes, "default", ["1.1", "1.2"])
    assert {uid: len(paths) for uid, paths in found.items()} == {"1.1": 1, "1.2": 1}


def test_a_tenant_finds_its_own_objects_only(stored):
    stored.record(("other/x/1/2/1.1.dcm", START), ("default2/x/1/2/1.1.dcm", START))
    assert find(stored.outboxes, "default", ["1.1"]) == {}
    assert find(stored.outboxes, "other", ["1.1"])


def test_an_outbox_without_the_table_has_no_records(stored):
    with closing(sqlite3.connect(stored.outboxes / "old.db")) as connection:
        connection.execute("CREATE TABLE outbox (id INTEGER)")
    assert find(stored.outboxes, "default", ["1.1"]) == {}


def test_an_outbox_that_cannot_be_read_is_told_from_one_without_the_object(stored):
    (stored.outboxes / "broken.db").write_bytes(b"no database" * 1000)
    with pytest.raises(TransientError, match=r"broken\.db"):
        find(stored.outboxes, "default", ["1.1"])


def test_a_rolled_back_record_does_not_exist(stored, connection):
    insert(connection, [Placement(f"{FOLDER}/1.1.dcm", START)])
    connection.rollback()
    with connection:
        insert(connection, [Placement(f"{FOLDER}/1.2.dcm", START)])
    assert set(find(stored.outboxes, "default", ["1.1", "1.2"])) == {"1.2"}


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_records_are_forgotten_by_the_day_of_their_last_receipt(stored, connection, limit):
    old = [Placement(f"default/a/{number}/1/1.{number}.dcm", START) for number in range(10)]
    later = START + 5 * DAY
    with connection:
        insert(connection, old)
        insert(connection, [old[0]._replace(version=later), old[1]])  # a duplicate refreshes
        insert(connection, [Placement(f"{FOLDER}/2.1.dcm", later)])
    position, steps = "", 0
    while position is not None:
        with connection:
            position = forget_older(connection, day_of(START) + 1, position, limit)
        steps += 1
    assert set(find(stored.outboxes, "default", [f"1.{n}" for n in range(10)])) == {"1.0"}
    assert (count(connection, "received"), count(connection, "folders")) == (2, 2)
    assert steps == {1: 12, 3: 4, 100: 1}[limit]


def test_the_outbox_gets_no_dicom_library_by_its_records():
    program = "import sys, receiver.commitment.records; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout.split()
    assert not {"pydicom", "pynetdicom"} & set(loaded)


def test_a_large_request_is_looked_up_by_the_key(stored, connection):
    uids = [new_uid() for _ in range(20_000)]
    with connection:
        insert(connection, [Placement(f"{FOLDER}/{uid}.dcm", START) for uid in uids])
    assert len(find(stored.outboxes, "default", uids)) == 20_000
    plan = connection.execute(
        "EXPLAIN QUERY PLAN SELECT 1 FROM json_each('[]') AS wanted "
        "JOIN received ON received.sop_uid = wanted.value"
    ).fetchall()
    assert any("SEARCH received USING PRIMARY KEY" in row[3] for row in plan)
