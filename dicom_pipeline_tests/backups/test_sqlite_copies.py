"""A database is copied as it is at one moment, however busy its writers are."""

import sqlite3
import threading

import pytest

from dicom_pipeline.backups.sqlite_copies import copy_database, count_rows
from dicom_pipeline.errors import PermanentError, TransientError

ROWS = 20_000


@pytest.fixture
def database(tmp_path):
    """With a pair of rows for each number, in one transaction."""
    path = tmp_path / "busy.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE one (number INTEGER)")
        connection.execute("CREATE TABLE other (number INTEGER)")
        for table in ("one", "other"):
            connection.executemany(f"INSERT INTO {table} VALUES (?)", ((n,) for n in range(ROWS)))
    connection.close()
    return path


def test_a_busy_database_is_copied_as_it_is_at_one_moment(database, tmp_path):
    stopping = threading.Event()
    written = []

    def write():
        connection = sqlite3.connect(database, timeout=30)
        while not stopping.is_set():
            with connection:
                connection.execute("INSERT INTO one VALUES (1)")
                connection.execute("INSERT INTO other VALUES (1)")
            written.append(1)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [copy_database(database, tmp_path / f"copy-{n}.db") for n in range(3)]
    finally:
        stopping.set()
        writer.join()
    assert written
    for rows in copies:
        assert rows["one"] == rows["other"] >= ROWS
    assert count_rows(tmp_path / "copy-0.db") == copies[0]
    assert not list(tmp_path.glob("copy-*-wal"))


def test_a_damaged_database_makes_no_backup(database, tmp_path):
    content = bytearray(database.read_bytes())
    content[4096 * 3 : 4096 * 5] = b"x" * 8192
    database.write_bytes(content)
    with pytest.raises((PermanentError, TransientError), match=r"damaged|malformed"):
        copy_database(database, tmp_path / "copy.db")
