"""From SQLite files to servers: the same promises."""

import os
import random
import subprocess
import sys

import pytest

from dicom_pipeline.moving.journal import Journal
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.catalog.samples import contents, indexed
from dicom_pipeline_tests.moving.homes import abandon, copy, copying, fill_tables, open_home
from dicom_pipeline_tests.moving.test_interruption import Interruptions

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


def test_the_command_copies_in_place_and_says_where_to_go_on(source, database, tmp_path):
    fill_tables(source)
    done = subprocess.run(
        [sys.executable, "-c", "from dicom_pipeline.cli import main; main()", "copy"],
        env={
            **os.environ,
            "DICOM_PIPELINE_HOME": str(source.settings.home),
            "CATALOG_URL": database.settings.catalog_url,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "Everything is there" in done.stdout
    assert contents(database.catalog) == contents(source.catalog)
