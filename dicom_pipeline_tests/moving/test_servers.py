"""From SQLite files to servers: the same promises."""

import os
import random
import subprocess
import sys

import pytest

from dicom_pipeline.cli.cursors import read_ledgers
from dicom_pipeline.event_log import Message
from dicom_pipeline.messages import DEAD_LETTER_QUEUE, INDEX_QUEUE, STORAGE_QUEUE
from dicom_pipeline.moving.journal import Journal
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import INDEX, STORAGE
from dicom_pipeline_tests.catalog.samples import contents, indexed
from dicom_pipeline_tests.moving.homes import (
    abandon,
    copy,
    copying,
    fill_tables,
    ledger_of,
    open_home,
    publish,
    save_cursor,
)
from dicom_pipeline_tests.moving.test_interruption import Interruptions
from dicom_pipeline_tests.services.mariadb import PASSWORD
from dicom_pipeline_tests.warehouse.adapters import shared_double

pytestmark = pytest.mark.service


@pytest.fixture
def database(tmp_path, mariadb_url):
    """The same home, its catalog in MariaDB."""
    settings = Settings(dicom_pipeline_home=tmp_path / "old", catalog_url=mariadb_url)
    with open_home(settings) as home:
        yield home


def odd_patients(home) -> None:
    """Ids and texts that databases are tempted to change."""
    ids = [
        "A1",
        "a1",
        "A1 ",
        " A1",
        "Ａ1",
        "É",
        "e\u0301",
        "张三",
        "😀",
        "a\\b",
        "a'b",
        "a%b",
        ":x",
    ]
    home.catalog.index(
        [
            indexed(f"1.9.{number}", patient=patient, study=f"1.8.{number}", series="1.7")
            for number, patient in enumerate(ids)
        ]
    )


def test_the_catalog_arrives_whole_and_only_the_catalog_is_copied(source, database):
    fill_tables(source)
    odd_patients(source)
    report = copy(source, database.settings)
    assert report.good
    assert {one.table.partition(".")[0] for one in report.tables} == {"catalog"}
    assert report.queues == []
    assert contents(database.catalog) == contents(source.catalog)


def test_interrupted_and_gone_on_with_it_arrives_whole(source, database, monkeypatch):
    monkeypatch.setattr("dicom_pipeline.moving.source.BATCH_ROWS", 9)
    fill_tables(source)
    waiting = abandon(source, "log_queue", 1, 2)
    interruptions = Interruptions(random.randrange(1000))
    monkeypatch.setattr(Journal, "save", interruptions.around(Journal.save))
    report = None
    while report is None:
        try:
            with copying(source, database.settings) as begun:
                begun._tables = [
                    one._replace(write=interruptions.around(one.write)) for one in begun._tables
                ]
                report = begun.run()
                begun.finish(report)
        except KeyboardInterrupt:
            continue
    assert report.good
    assert contents(database.catalog) == contents(source.catalog)
    assert database.catalog.abandoned() == [waiting]


def test_pending_messages_arrive_on_kafka_though_it_was_interrupted(
    source, tmp_path, kafka_url, monkeypatch
):
    monkeypatch.setattr("dicom_pipeline.moving.queues.BATCH_ROWS", 9)
    values = publish(source, STORAGE_QUEUE, 60)
    source.log.publish([Message(STORAGE_QUEUE, "long", b"x" * (5 << 20))])
    ledgers = {
        STORAGE.sensor_name: ledger_of(source, STORAGE_QUEUE, planned=50, outstanding=[(3, 9)])
    }
    interruptions = Interruptions(random.randrange(1000))
    settings = Settings(
        dicom_pipeline_home=tmp_path / "old", event_log_url=kafka_url, event_log_partitions=3
    )
    with open_home(settings) as on_kafka:
        report = None
        while report is None:
            try:
                with copying(source, settings, ledgers) as begun:
                    publish_them = begun._logs.target.publish
                    begun._logs.target.publish = interruptions.around(publish_them)
                    report = begun.run()
                    begun.finish(report)
            except KeyboardInterrupt:
                continue
        assert report.good
        assert set(on_kafka.values(STORAGE_QUEUE)) == {*values[3:9], *values[50:]}
        assert len(set(on_kafka.values(DEAD_LETTER_QUEUE))) == 1


def test_the_command_moves_a_home_in_place_and_its_sensors_begin_anew(
    source, database, kafka_url, monkeypatch, tmp_path
):
    fill_tables(source)
    values = publish(source, INDEX_QUEUE, 5)
    save_cursor(source.settings, INDEX, ledger_of(source, INDEX_QUEUE, planned=3))
    settings = database.settings.model_copy(update={"event_log_url": kafka_url})
    with open_home(settings) as moved:
        done = subprocess.run(
            [sys.executable, "-c", "from dicom_pipeline.cli import main; main()", "copy"],
            env={
                **os.environ,
                "DICOM_PIPELINE_HOME": str(settings.home),
                "CATALOG_URL": settings.catalog_url,
                "EVENT_LOG_URL": settings.event_log_url,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        assert "Everything is there" in done.stdout
        assert PASSWORD not in done.stdout
        assert contents(moved.catalog) == contents(source.catalog)
        assert moved.values(INDEX_QUEUE) == values[3:]
    assert read_ledgers(settings) == {}


def test_the_warehouse_arrives_whole_in_doris(source, tmp_path):
    fill_tables(source)
    double = shared_double()
    database = double.new_database()
    settings = Settings(dicom_pipeline_home=tmp_path / "old", warehouse_url=double.url(database))
    with open_home(settings) as moved:
        first, second = copy(source, settings), copy(source, settings)
        assert first.good
        assert second.good
        count = "SELECT COUNT(*) AS n FROM dicom_image"
        assert moved.warehouse.query(count) == source.warehouse.query(count)
    double.catalog.drop(database)
