"""What only the embedded event log promises."""

import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from dicom_pipeline.errors import (
    ConfigurationError,
    PermanentError,
    RangeGoneError,
    TransientError,
)
from dicom_pipeline.event_log import Message, open_event_log
from dicom_pipeline.event_log import sqlite as adapter
from dicom_pipeline.event_log.sqlite import SqliteEventLog
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.settings import Settings

TOPIC = "storage_queue"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "events.db"


@pytest.fixture
def log(path):
    with SqliteEventLog(path, busy_seconds=0.05) as log:
        log.create_topics([TOPIC], 1)
        yield log


def whole(log):
    return OffsetRange(TOPIC, log.topic_id(TOPIC), 0, *log.watermarks(TOPIC)[0])


def test_the_settings_choose_it_by_default(tmp_path):
    settings = Settings(_env_file=None, dicom_pipeline_home=tmp_path / "home", event_log_url="")
    with open_event_log(settings) as log:
        log.create_topics([TOPIC], settings.event_log_partitions)
    assert (tmp_path / "home" / "events.db").is_file()


def test_every_commit_waits_for_the_disk(log):
    with log._file.reading() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_lock_held_too_long_is_transient_and_names_the_file(log, path):
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(TransientError, match=r"events\.db: database is locked: another proc"):
            log.publish([Message(TOPIC, "k", b"")])
        other.execute("ROLLBACK")
    log.publish([Message(TOPIC, "k", b"")])


def test_readers_do_not_wait_for_a_writer(log, path):
    log.publish([Message(TOPIC, "k", b"1")])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert [r.value for r in log.read(whole(log))] == [b"1"]


def test_a_failed_batch_leaves_no_message_behind(log):
    with pytest.raises(sqlite3.IntegrityError):
        log.publish([Message(TOPIC, "k", b"1"), Message(TOPIC, "k", None)])
    log.publish([Message(TOPIC, "k", b"2")])
    assert [(r.offset, r.value) for r in log.read(whole(log))] == [(0, b"2")]


def test_a_reader_overtaken_by_retention_says_so(log, monkeypatch):
    monkeypatch.setattr(adapter, "_READ_CHUNK", 2)
    log.publish([Message(TOPIC, "k", b"") for _ in range(6)])
    records = log.read(whole(log))
    assert next(records).offset == 0
    log.trim(TOPIC, 0, 5)
    assert next(records).offset == 1
    with pytest.raises(RangeGoneError, match="5 of 6 messages"):
        next(records)


def test_a_hole_in_the_log_is_reported_not_skipped(log, path):
    log.publish([Message(TOPIC, "k", b"") for _ in range(3)])
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute('DELETE FROM entry WHERE "offset" = 1')
    with pytest.raises(PermanentError, match="1 messages of storage_queue:0:0-3 are missing"):
        list(log.read(whole(log)))


def test_a_long_trim_is_cut_into_short_transactions(log, monkeypatch):
    monkeypatch.setattr(adapter, "_TRIM_CHUNK", 2)
    log.publish([Message(TOPIC, "k", b"") for _ in range(7)])
    assert log.trim(TOPIC, 0, 5) == 5
    assert [r.offset for r in log.read(whole(log))] == [5, 6]


def messages_in(path):
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT key, value FROM message ORDER BY id").fetchall()


def test_a_message_of_several_queues_is_stored_once_and_as_long_as_one_has_it(log, path):
    log.create_topics(["other"], 2)
    both = [Message(topic, "k", b"1") for topic in (TOPIC, "other")]
    log.publish([*both, Message(TOPIC, "k", b"2"), Message(TOPIC, "x", b"2")])
    assert messages_in(path) == [("k", b"1"), ("k", b"2"), ("x", b"2")]
    (partition,) = (number for number, mark in log.watermarks("other").items() if mark.high)
    log.trim("other", partition, 1)
    assert [r.value for r in log.read(whole(log))] == [b"1", b"2", b"2"]
    log.trim(TOPIC, 0, 2)
    assert messages_in(path) == [("x", b"2")]


SCHEMA_1 = """
CREATE TABLE topic (name TEXT PRIMARY KEY, id TEXT NOT NULL);
CREATE TABLE topic_partition (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    topic TEXT NOT NULL REFERENCES topic (name) ON DELETE CASCADE,
    partition INTEGER NOT NULL,
    low INTEGER NOT NULL DEFAULT 0,
    high INTEGER NOT NULL DEFAULT 0,
    UNIQUE (topic, partition)
);
CREATE TABLE message (
    partition_id INTEGER NOT NULL REFERENCES topic_partition (id) ON DELETE CASCADE,
    "offset" INTEGER NOT NULL,
    timestamp INTEGER NOT NULL,
    key TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (partition_id, "offset")
);
CREATE TABLE committed (
    consumer_group TEXT NOT NULL,
    partition_id INTEGER NOT NULL REFERENCES topic_partition (id) ON DELETE CASCADE,
    "offset" INTEGER NOT NULL,
    PRIMARY KEY (consumer_group, partition_id)
);
INSERT INTO topic VALUES ('storage_queue', 'its id'), ('log_queue', 'another');
INSERT INTO topic_partition VALUES (1, 'storage_queue', 0, 1, 3), (2, 'log_queue', 0, 0, 1);
INSERT INTO message VALUES (1, 2, 20, 'b', x'32'), (2, 0, 10, 'a', x'31'), (1, 1, 10, 'a', x'31');
INSERT INTO committed VALUES ('group', 1, 2);
PRAGMA user_version = 1;
"""


def test_a_file_of_the_first_version_keeps_all_it_holds(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA_1)
    for _ in range(2):
        with SqliteEventLog(path) as log:
            offsets = OffsetRange(TOPIC, "its id", 0, 1, 3)
            records = [record[2:] for record in log.read(offsets)]
            assert records == [(1, 10, "a", b"1"), (2, 20, "b", b"2")]
            assert log.committed("group", TOPIC) == {0: 2}
            assert log.watermarks("log_queue") == {0: (0, 1)}
    with SqliteEventLog(path) as log:
        log.publish([Message(TOPIC, "c", b"3")])
        assert [r.offset for r in log.read(OffsetRange(TOPIC, "its id", 0, 1, 4))] == [1, 2, 3]
        log.trim(TOPIC, 0, 4)
    assert messages_in(path) == [("a", b"1")]


def test_a_file_that_is_no_database_is_not_touched(path):
    path.write_bytes(b"an important text\n" * 100)
    with pytest.raises(TransientError, match=r"events\.db: .*no SQLite database"):
        SqliteEventLog(path)
    assert path.read_bytes().startswith(b"an important text")


def test_a_file_of_a_newer_version_is_refused(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(ConfigurationError, match="has schema 9, this version knows 2"):
        SqliteEventLog(path)


def test_a_home_that_cannot_be_made_is_a_wrong_setting(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="choose another home folder"):
        SqliteEventLog(tmp_path / "file" / "events.db")


def test_a_missing_mount_is_transient(path):
    path.mkdir()
    with pytest.raises(TransientError, match="unable to open database file"):
        SqliteEventLog(path)


def test_connections_of_finished_threads_are_closed(log):
    for _ in range(5):
        thread = threading.Thread(target=log.watermarks, args=(TOPIC,))
        thread.start()
        thread.join()
    assert len(log._file._connections) <= 2


def test_closing_twice_is_harmless(path):
    log = SqliteEventLog(path)
    log.close()
    log.close()


PUBLISH_FOR_EVER = """
import sys
from pathlib import Path
from dicom_pipeline.event_log import Message
from dicom_pipeline.event_log.sqlite import SqliteEventLog
log = SqliteEventLog(Path(sys.argv[1]))
while True:
    log.publish([Message("storage_queue", "k", b"x" * 500)] * 3)
    print("durable", flush=True)
"""


@pytest.mark.service
def test_a_killed_publisher_loses_nothing_that_was_promised_and_leaves_no_half_batch(log, path):
    program = [sys.executable, "-c", PUBLISH_FOR_EVER, str(path)]
    with subprocess.Popen(program, stdout=subprocess.PIPE) as publisher:
        promised = [publisher.stdout.readline() for _ in range(20)]
        publisher.kill()
        promised += publisher.stdout.readlines()
    assert promised[0] == b"durable\n"
    records = list(log.read(whole(log)))
    assert len(records) >= 3 * len(promised)
    assert len(records) % 3 == 0
