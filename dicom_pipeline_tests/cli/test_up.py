"""The group of `up` as a whole: real programs, real signals."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import psutil
import pytest

from dicom_pipeline.cli.migration import migrate
from dicom_pipeline.cli.network import answers, ui_answers
from dicom_pipeline.cli.stack_info import read_info
from dicom_pipeline.cli.stack_process import StackProcess
from dicom_pipeline.errors import PipelineError
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.stack import RunningStack

pytestmark = [pytest.mark.service, pytest.mark.timeout(400)]

PARTS = {"receiver", "file-server", "code-server", "daemon", "webserver"}


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    with RunningStack(tmp_path_factory.mktemp("home")) as stack:
        yield stack


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def all_gone(processes: list[psutil.Process], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(processes) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not alive(processes)


def test_every_part_runs_and_answers(stack):
    info = stack.info
    assert set(info.parts) == PARTS
    assert answers("127.0.0.1", info.receiver_port)
    assert ui_answers("127.0.0.1", int(info.ui.rsplit(":", 1)[1]))
    assert answers("127.0.0.1", int(info.viewer.rsplit(":", 1)[1]))


def test_nobody_else_may_read_what_the_group_writes(stack):
    written = list(stack.settings.home.iterdir())
    assert {"catalog.db", "events.db", "receiver.json", "logs"} <= {path.name for path in written}
    assert [path.name for path in written if path.stat().st_mode & 0o077] == []


def test_a_second_group_on_the_same_home_is_refused_and_told_who_is_there(stack):
    done = subprocess.run(
        [sys.executable, "-c", "from dicom_pipeline.cli import main; main()", "up"],
        env={**os.environ, "DICOM_PIPELINE_HOME": str(stack.settings.home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "DICOM_PIPELINE_HOME" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert stack.info.ready


def test_another_group_on_the_home_is_not_taken_for_ones_own(stack):
    second = StackProcess(stack.settings, {})
    second.start()
    with pytest.raises(PipelineError, match="DICOM_PIPELINE_HOME"):
        second.wait_until(lambda info: info.ready, 60)
    assert second.stop() == 2
    assert stack.info.ready


def test_a_killed_receiver_comes_back_on_its_port(stack):
    port = stack.receiver_port
    old = stack.kill("receiver")
    info = stack.wait_until_restarted("receiver", old)
    assert info.receiver_port == port
    assert answers("127.0.0.1", port)


def test_a_stopped_group_leaves_nothing_behind(stack):
    processes = stack.processes()
    assert len(processes) > len(PARTS)
    assert stack.stop() == 0
    assert all_gone(processes, 1)
    assert read_info(stack.settings) is None


def test_a_killed_supervisor_leaves_nothing_behind(tmp_path):
    with RunningStack(tmp_path, wait=False) as stack:
        stack.wait_until(lambda info: {"receiver", "code-server"} <= set(info.parts), 60)
        processes = stack.processes()
        os.kill(stack.pid, signal.SIGKILL)
        assert all_gone(processes, 30)


def test_a_group_without_a_receiver_needs_neither_its_port_nor_its_outbox(tmp_path):
    with RunningStack(tmp_path, "--no-receiver") as stack:
        assert set(stack.pids()) == PARTS - {"receiver"}
        assert stack.receiver_port == 0
        assert not (tmp_path / "outbox").exists()
        assert not any(stack.left().values())


def test_the_receiver_does_not_wait_for_a_system_that_is_away(tmp_path):
    list(migrate(Settings(dicom_pipeline_home=tmp_path)))
    catalog = sqlite3.connect(tmp_path / "catalog.db", isolation_level=None)
    catalog.execute("BEGIN EXCLUSIVE")
    with closing(catalog), RunningStack(tmp_path, wait=False) as stack:
        info = stack.wait_until(lambda info: "receiver" in info.parts, 60)
        stack.wait_until(lambda info: answers("127.0.0.1", info.receiver_port), 60)
        assert not info.prepared
        assert set(stack.pids()) == {"receiver", "file-server"}
        catalog.execute("ROLLBACK")
        stack.wait_until_ready()


def test_a_part_that_cannot_run_ends_the_group_with_its_reason(tmp_path):
    tmp_path.joinpath("peers.toml").write_text("[[peer]]\ntenant = 'No Good'\n")
    done = subprocess.run(
        [sys.executable, "-c", "from dicom_pipeline.cli import main; main()", "up"],
        env={
            **os.environ,
            "DICOM_PIPELINE_HOME": str(tmp_path),
            "RECEIVER_PORT": "0",
            "UI_PORT": "0",
            "VIEWER_PORT": "0",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 1
    assert "receiver cannot be started" in done.stderr
    assert "receiver.log" in done.stderr
