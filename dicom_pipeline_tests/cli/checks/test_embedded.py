"""Event log, catalog and warehouse as SQLite files."""

import sqlite3

import pytest

from dicom_pipeline import schema_state
from dicom_pipeline.catalog import AbandonedRange, open_catalog
from dicom_pipeline.cli.checks import embedded
from dicom_pipeline.cli.checks.check import Verdict
from dicom_pipeline.cli.migration import migrate
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.migrations import Migration, load_migrations
from dicom_pipeline_tests.cli.checks.looking import files_in, found, settings_in

SYSTEMS = {"event log": "events.db", "catalog": "catalog.db", "warehouse": "warehouse.db"}


@pytest.fixture
def migrated(tmp_path):
    chosen = settings_in(tmp_path)
    list(migrate(chosen))
    return chosen


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_migrated_file_is_reachable_writable_and_up_to_date(migrated, system):
    done = found(migrated, system)
    assert {"reachable", "version", "rights", "schema"} <= set(done)
    assert {one.verdict for one in done.values()} == {Verdict.OK}


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_missing_file_fails_says_to_migrate_and_is_not_created(tmp_path, system):
    chosen = settings_in(tmp_path)
    chosen.home.mkdir()
    done = found(chosen, system)["reachable"]
    assert done.verdict is Verdict.FAIL
    assert "migrate" in done.remedy
    assert files_in(chosen.home) == {}


@pytest.mark.parametrize("system", ["catalog", "warehouse"])
def test_a_pending_migration_is_a_warning_that_names_it(migrated, monkeypatch, system):
    known = load_migrations("sqlite", system)
    coming = Migration(len(known) + 1, "9999_coming.sql", "SELECT 1;")
    monkeypatch.setattr(schema_state, "load_migrations", lambda *_: [*known, coming])
    done = found(migrated, system)["schema"]
    assert done.verdict is Verdict.WARN
    assert "9999_coming.sql" in done.found


def test_a_catalog_in_another_file_is_looked_at_there_and_not_created(migrated, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "catalog.db"
    chosen = migrated.model_copy(update={"catalog_url": f"sqlite:///{elsewhere}"})
    assert "not created yet" in found(chosen, "catalog")["reachable"].found
    assert not elsewhere.parent.exists()
    there = f"sqlite:///{migrated.home / 'catalog.db'}"
    same = migrated.model_copy(update={"catalog_url": there})
    assert found(same, "catalog")["schema"].verdict is Verdict.OK


def test_a_changed_migration_and_a_newer_schema_fail(migrated):
    with sqlite3.connect(migrated.home / "catalog.db") as connection:
        connection.execute("UPDATE schema_migration SET checksum = 'x' WHERE number = 1")
    assert found(migrated, "catalog")["schema"].verdict is Verdict.FAIL
    with sqlite3.connect(migrated.home / "warehouse.db") as connection:
        connection.execute("INSERT INTO schema_migration VALUES (99, 'later.sql', 'x', 'now')")
    newer = found(migrated, "warehouse")["schema"]
    assert newer.verdict is Verdict.FAIL
    assert "99" in newer.found


def test_a_file_that_is_no_database_is_said_to_be_none(migrated):
    (migrated.home / "catalog.db").write_bytes(b"no database" * 100)
    done = found(migrated, "catalog")["schema"]
    assert done.verdict is Verdict.FAIL
    assert "not a database" in done.found


def test_a_missing_queue_fails(migrated):
    with sqlite3.connect(migrated.home / "events.db") as connection:
        connection.execute("DELETE FROM topic WHERE name = 'log_queue'")
    assert "log_queue" in found(migrated, "event log")["schema"].found


def test_fewer_partitions_than_wanted_are_a_warning(migrated, tmp_path):
    wanted = settings_in(tmp_path, event_log_partitions=3)
    assert found(wanted, "event log")["schema"].verdict is Verdict.WARN


def test_ranges_that_wait_for_an_operator_are_a_warning(migrated):
    with open_catalog(migrated) as catalog:
        catalog.abandon(AbandonedRange(OffsetRange("log_queue", "id", 0, 1, 2), 3, "test"))
    assert found(migrated, "catalog")["abandoned ranges"].verdict is Verdict.WARN


def test_a_file_that_cannot_be_written_or_lies_on_a_network_fails(migrated, monkeypatch):
    monkeypatch.setattr(embedded, "may_write", lambda path: False)
    monkeypatch.setattr(embedded, "is_network", lambda path: True)
    done = found(migrated, "event log")
    assert done["rights"].verdict is done["file system"].verdict is Verdict.FAIL
