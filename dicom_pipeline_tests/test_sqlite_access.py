import sqlite3

import pytest
from sqlalchemy.exc import OperationalError

from dicom_pipeline.errors import TransientError
from dicom_pipeline.event_log import Message
from dicom_pipeline.event_log.sqlite import SqliteEventLog
from dicom_pipeline.sql_engine import SqlDatabase
from dicom_pipeline.sqlite_access import explained


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
