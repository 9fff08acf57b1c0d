import sqlite3
from contextlib import closing

import pytest
from sqlalchemy.exc import OperationalError

from dicom_pipeline.errors import TransientError
from dicom_pipeline.event_log import Message
from dicom_pipeline.event_log.sqlite import SqliteEventLog
from dicom_pipeline.sql_engine import SqlDatabase
from dicom_pipeline.sqlite_access import explained, insert_rows


def failure(code, text="it failed"):
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


WORTH_ANOTHER_TRY = [
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_BUSY_SNAPSHOT,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PROTOCOL,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_READONLY_DBMOVED,
    # what waits goes on by itself once the file is restored
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_CORRUPT_INDEX,
]


@pytest.fixture
def log(tmp_path):
    with SqliteEventLog(tmp_path / "events.db") as log:
        yield log


@pytest.fixture
def database(tmp_path):
    database = SqlDatabase(f"sqlite:///{tmp_path / 'test.db'}", "catalog")
    yield database
    database.close()


@pytest.mark.parametrize("code", WORTH_ANOTHER_TRY)
def test_event_log_and_tables_agree_on_what_is_worth_another_try(code, log, database):
    with pytest.raises(TransientError, match=r"event log .*: it failed: "), log._file.writing():
        raise failure(code)
    with pytest.raises(TransientError, match=r"catalog .*: it failed: "), database.write():
        raise OperationalError("", None, failure(code))


def test_a_programming_error_has_no_remedy():
    assert explained(sqlite3.ProgrammingError("wrong"), "file") is None
    assert explained(failure(sqlite3.SQLITE_CONSTRAINT), "file") is None


def test_a_schema_that_was_not_migrated_waits_for_it(log):
    with log._file.writing() as connection:
        connection.execute("DROP TABLE topic_partition")
        connection.execute("DROP TABLE topic")
    with pytest.raises(TransientError, match=r"no such table: .*run `dicom-pipeline migrate`"):
        log.publish([Message("storage_queue", "k", b"")])


@pytest.mark.parametrize("count", [0, 1, 127, 128, 129, 300])
def test_many_rows_are_inserted_by_few_statements(count):
    rows = [(f"key {number}", number) for number in range(count)]
    statements = []
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (key TEXT PRIMARY KEY, value INTEGER)")
        connection.set_trace_callback(statements.append)
        insert_rows(connection, "INSERT INTO t (key, value)", rows)
        inserted = [each for each in statements if each.startswith("INSERT")]
        assert len(inserted) <= count // 128 + 7
        assert connection.execute("SELECT * FROM t ORDER BY value").fetchall() == rows


def test_inserted_rows_that_exist_are_treated_as_the_caller_says():
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE t (key TEXT PRIMARY KEY, value INTEGER)")
        later = "ON CONFLICT DO UPDATE SET value = excluded.value WHERE excluded.value > value"
        insert_rows(connection, "INSERT INTO t", [("a", 2), ("b", 1), ("b", 3), ("a", 1)], later)
        assert connection.execute("SELECT * FROM t").fetchall() == [("a", 2), ("b", 3)]
