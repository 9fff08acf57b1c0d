"""`dicom-pipeline routine-load`, and the same from Dagster, where there is nothing to manage."""

import json

import dagster as dg
import pytest
from typer.testing import CliRunner

from dicom_pipeline.cli.app import app
from dicom_pipeline.definitions import definitions
from dicom_pipeline.defs.routine_load import routine_load_sensor
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.routine_load import NOTHING_TO_MANAGE
from dicom_pipeline_tests.routine_load.conftest import cluster, database, doris, world

__all__ = ["cluster", "database", "doris", "world"]

ACTIONS = ("create", "show", "alter", "pause", "resume", "stop", "recreate", "repair")


@pytest.fixture
def embedded(tmp_path, monkeypatch):
    monkeypatch.setenv("DICOM_PIPELINE_HOME", str(tmp_path))
    for name in ("EVENT_LOG_URL", "WAREHOUSE_URL"):
        monkeypatch.delenv(name, raising=False)


def call(*arguments):
    return CliRunner().invoke(app, ["routine-load", *arguments])


@pytest.mark.parametrize("action", ACTIONS)
def test_with_embedded_systems_the_command_says_that_there_is_nothing_to_manage(embedded, action):
    done = call(action)
    assert (done.exit_code, " ".join(done.output.split())) == (0, NOTHING_TO_MANAGE)


def test_with_embedded_systems_the_jobs_and_the_sensor_say_so_too(embedded):
    repository = definitions().get_repository_def()
    for action in ACTIONS:
        done = repository.get_job(f"routine_load_{action}_job").execute_in_process()
        (output,) = [event for event in done.all_node_events if event.is_successful_output]
        metadata = output.step_output_data.metadata
        assert metadata["outcome"].value == NOTHING_TO_MANAGE
    context = dg.build_sensor_context(resources={"pipeline": Pipeline()})
    assert routine_load_sensor.evaluate_tick(context).skip_message == NOTHING_TO_MANAGE


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("pause", "--start", "OFFSET_END"), "--start is for create, recreate"),
        (("show", "--set", "a=1"), "--set is for alter"),
        (("repair", "--offset", "0=1"), "--offset is for alter"),
        (("alter", "--keep-paused"), "--keep-paused is for repair"),
        (("stop", "--json"), "--json is for show"),
    ],
)
def test_an_option_of_another_action_is_a_mistake(embedded, arguments, told):
    done = call(*arguments)
    assert done.exit_code == 2
    assert told in done.output


@pytest.mark.service
def test_a_person_manages_it_from_the_command_line(world, monkeypatch):
    monkeypatch.setenv("DICOM_PIPELINE_HOME", str(world.settings.home))
    monkeypatch.setenv("EVENT_LOG_URL", world.settings.event_log_url)
    monkeypatch.setenv("WAREHOUSE_URL", world.settings.warehouse_url)
    missing = call("show")
    assert missing.exit_code == 3
    assert "there is no routine load" in " ".join(missing.output.split())
    assert "created from" in call("create").output
    world.publish(range(4))
    world.wait_until_read()
    well = call("show", "--json")
    assert well.exit_code == 0
    shown = json.loads(well.output)
    assert (shown["state"], shown["lag_messages"], shown["problems"]) == ("RUNNING", 0, [])
    assert "max_batch_interval = 9" in call("alter", "--set", "max_batch_interval=9").output
    assert "from offset 0" in call("alter", "--offset", "0=0").output
    assert call("alter", "--offset", "zero").exit_code == 2
    assert call("recreate", "--start", "yesterday").exit_code == 2
    assert "is paused" in call("pause").output
    assert call("show").exit_code == 3
    assert "is resumed" in call("resume").output
    assert "created from 0:" in call("recreate").output
    assert "accounted for" in call("repair").output
    assert "is stopped" in call("stop").output
