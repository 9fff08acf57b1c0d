"""The command `copy`: what it refuses, what it says, its exit codes."""

import fcntl

import pytest
from dagster import DagsterInstance
from dagster._core.scheduler.instigation import InstigatorStatus

from dicom_pipeline.cli import copying
from dicom_pipeline.cli.copying import run_copy
from dicom_pipeline.cli.cursors import empty_cursors, read_ledgers
from dicom_pipeline.cli.exits import run
from dicom_pipeline.cli.stack_info import exclusive
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.messages import STORAGE_QUEUE
from dicom_pipeline.moving import Copying
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import INDEX, STORAGE
from dicom_pipeline.streams import Ledger
from dicom_pipeline_tests.moving.homes import fill_tables, open_home, publish, save_cursor


@pytest.fixture
def source(tmp_path):
    with open_home(Settings(dicom_pipeline_home=tmp_path / "old")) as home:
        yield home


@pytest.fixture
def target(tmp_path):
    with open_home(Settings(dicom_pipeline_home=tmp_path / "new")) as home:
        yield home


def test_what_was_copied_is_shown_and_the_code_is_0(source, target, capsys):
    fill_tables(source)
    publish(source, STORAGE_QUEUE, 3)
    assert run_copy(target.settings, source.settings.home, []) == 0
    shown = capsys.readouterr().out
    assert "catalog.instance" in shown
    assert STORAGE_QUEUE in shown
    assert "Everything is there" in shown
    assert target.dump() == source.dump()


def test_a_mismatch_is_shown_and_the_code_is_3(source, target, capsys, monkeypatch):
    fill_tables(source)
    monkeypatch.setattr(Copying, "_copy_table", lambda *_: None)
    assert run_copy(target.settings, source.settings.home, []) == 3
    assert "does not have everything" in capsys.readouterr().out


def test_a_home_on_which_the_stack_runs_is_refused(source, target, capsys):
    with exclusive(source.settings.home):
        assert run(lambda: run_copy(target.settings, source.settings.home, [])) == 2
    assert "in use by process" in capsys.readouterr().err


def test_a_home_whose_receiver_runs_is_refused_with_its_name(source, target, capsys):
    lock = source.settings.home / "outbox" / "node-7.lock"
    lock.parent.mkdir()
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert run(lambda: run_copy(target.settings, source.settings.home, [])) == 2
    assert "node-7" in capsys.readouterr().err


def test_while_it_copies_no_stack_can_start_on_the_home(source, target, monkeypatch):
    def started(*_):
        with pytest.raises(ConfigurationError), exclusive(source.settings.home):
            pass
        return {}

    monkeypatch.setattr(copying, "read_ledgers", started)
    assert run_copy(target.settings, source.settings.home, []) == 0


def test_an_unknown_system_is_named(source, target):
    with pytest.raises(ConfigurationError, match="teapot"):
        run_copy(target.settings, source.settings.home, ["teapot"])


def test_ctrl_c_has_its_code_and_the_next_call_goes_on(source, target, capsys, monkeypatch):
    fill_tables(source)

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Copying, "_count_queues", interrupted)
        assert run(lambda: run_copy(target.settings, source.settings.home, [])) == 130
    capsys.readouterr()
    assert run_copy(target.settings, source.settings.home, []) == 0
    assert "going on where it stopped" in capsys.readouterr().out


def test_emptied_cursors_hold_no_ledger_and_their_sensors_stay_as_they_are(source):
    settings = source.settings
    for stage in (STORAGE, INDEX):
        save_cursor(settings, stage, Ledger(topic_id="old"))
    assert {name: one.topic_id for name, one in read_ledgers(settings).items()} == {
        STORAGE.sensor_name: "old",
        INDEX.sensor_name: "old",
    }
    empty_cursors(settings)
    assert read_ledgers(settings) == {}
    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        states = instance.all_instigator_state()
        assert {state.status for state in states} == {InstigatorStatus.RUNNING}
        assert {state.instigator_data.min_interval for state in states} == {5}
