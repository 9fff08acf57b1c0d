"""The adapters that the contract tests run against, each with what a test needs beside the port."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from dicom_pipeline.event_log import EventLog
from dicom_pipeline.event_log.kafka import KafkaEventLog
from dicom_pipeline.event_log.kafka.url import KafkaUrl
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


def kafka_log(url):
    return KafkaEventLog(KafkaUrl.parse(url), retention_hours=168)


def kafka_adapter(kafka, url):
    def delete_topic(topic: str) -> None:
        kafka.delete_topics(KafkaUrl.parse(url).topic_prefix + topic)

    return Adapter(open=partial(kafka_log, url), delete_topic=delete_topic)


@pytest.fixture
def sqlite(tmp_path):
    return sqlite_adapter(tmp_path)


@pytest.fixture
def kafka_topics(kafka, kafka_url):
    return kafka_adapter(kafka, kafka_url)


@pytest.fixture(params=["sqlite", pytest.param("kafka_topics", marks=pytest.mark.service)])
def adapter(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def log(adapter):
    with adapter.open() as log:
        yield log
