"""Dagster's storage, as the home's `dagster.yaml` chooses it."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from dagster import DagsterInstance

import dicom_pipeline
from dicom_pipeline.cli.checks.check import Verdict
from dicom_pipeline.cli.network import free_port
from dicom_pipeline_tests.cli.checks.looking import files_in, found, settings_in
from dicom_pipeline_tests.services import postgres

SYSTEM = "Dagster storage"


def instance(tmp_path, text="telemetry:\n  enabled: false\n"):
    chosen = settings_in(tmp_path)
    chosen.dagster_home.mkdir(parents=True)
    (chosen.dagster_home / "dagster.yaml").write_text(text)
    return chosen


def test_an_instance_that_was_never_started_is_not_created_by_looking(tmp_path):
    chosen = instance(tmp_path)
    before = files_in(tmp_path)
    assert {one.verdict for one in found(chosen, SYSTEM).values()} == {Verdict.OK}
    assert files_in(tmp_path) == before


def test_the_embedded_storage_has_the_revision_that_the_installed_dagster_wants(tmp_path):
    chosen = instance(tmp_path)
    with DagsterInstance.from_config(str(chosen.dagster_home)) as started:
        started.get_runs()
        started.all_instigator_state()
    done = found(chosen, SYSTEM)
    assert done["runs: schema"].verdict is Verdict.OK
    assert done["schedules: schema"].verdict is Verdict.OK
    with sqlite3.connect(chosen.dagster_home / "history" / "runs.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0123456789ab'")
    older = found(chosen, SYSTEM)["runs: schema"]
    assert older.verdict is Verdict.WARN
    assert "dagster instance migrate" in older.remedy


def test_a_server_that_is_away_fails_and_its_password_is_not_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_PASSWORD", "hunter2hunter2")
    text = f"""
storage:
  postgres:
    postgres_db:
      username: dagster
      password: {{env: DAGSTER_PASSWORD}}
      hostname: 127.0.0.1
      db_name: dagster
      port: {free_port("127.0.0.1")}
"""
    done = found(instance(tmp_path, text), SYSTEM)
    assert done["reachable"].verdict is Verdict.FAIL
    assert "hunter2" not in str(done)


@pytest.mark.parametrize(
    "text",
    [
        "storage:\n  teapot:\n    url: x\n",
        "storage:\n  postgres:\n    postgres_url: {env: NOT_SET}\n",
        "storage: [",
    ],
)
def test_a_configuration_that_cannot_be_used_fails(tmp_path, text):
    assert found(instance(tmp_path, text), SYSTEM)["configuration"].verdict is Verdict.FAIL


@pytest.mark.service
def test_a_postgres_is_looked_at_before_and_after_dagster_has_made_its_tables(
    tmp_path, monkeypatch
):
    example = Path(dicom_pipeline.__file__).parent / "examples" / "dagster-postgres.yaml"
    with postgres.running_postgres() as server:
        variables = {
            "HOST": postgres.HOST,
            "PORT": str(server.port),
            "USER": postgres.USER,
            "PASSWORD": postgres.PASSWORD,
            "DB": server.database,
        }
        for name, value in variables.items():
            monkeypatch.setenv(f"DAGSTER_POSTGRES_{name}", value)
        chosen = settings_in(tmp_path, dagster_yaml=example)
        fresh = found(chosen, SYSTEM)
        assert fresh["schema"].found == "no tables yet"
        home = chosen.dagster_home
        home.mkdir(parents=True)
        shutil.copyfile(example, home / "dagster.yaml")
        with DagsterInstance.from_config(str(home)) as started:
            started.get_runs()
        used = found(chosen, SYSTEM)
        assert {"reachable", "version", "rights", "schema", "clock"} == set(used)
        assert {one.verdict for one in used.values()} == {Verdict.OK}
        monkeypatch.setenv("DAGSTER_POSTGRES_PASSWORD", "wr0ng-password")
        refused = found(chosen, SYSTEM)["usable"]
        assert refused.verdict is Verdict.FAIL
        assert "wr0ng" not in str(refused)
