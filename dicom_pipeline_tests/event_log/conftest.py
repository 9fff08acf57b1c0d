"""The adapters that the contract tests run against, each with what a test needs beside the port."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from dicom_pipeline.event_log import EventLog
from dicom_pipeline.event_log.sqlite import SqliteEventLog


@dataclass
class Adapter:
    """One event log that can be opened again and again."""

    open: Callable[[], EventLog]
    """Can be sent to another process."""
    delete_topic: Callable[[str], None]


def sqlite_adapter(folder: Path) -> Adapter:
    path = folder / "new" / "events.db"

    def delete_topic(topic: str) -> None:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute("PRAGMA foreign_keys = ON")
            connection.execute("DELETE FROM topic WHERE name = ?", (topic,))

    return Adapter(open=partial(SqliteEventLog, path), delete_topic=delete_topic)


ADAPTERS = {"sqlite": sqlite_adapter}


@pytest.fixture(params=ADAPTERS)
def adapter(request, tmp_path):
    return ADAPTERS[request.param](tmp_path)


@pytest.fixture
def log(adapter):
    with adapter.open() as log:
        yield log
