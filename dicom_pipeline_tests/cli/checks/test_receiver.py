import fcntl
import json
import os
import socket

import pytest

from dicom_pipeline.cli.checks.check import Verdict
from dicom_pipeline_tests.cli.checks.looking import found, settings_in
from dicom_pipeline_tests.events import an_event
from receiver.http import HttpServer
from receiver.metrics import Metrics
from receiver.outbox import Outbox
from receiver.readiness import Problem


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_wrong_peers_file_fails_with_the_reason(tmp_path):
    peers = tmp_path / "peers.toml"
    peers.write_text("[[peer]]\ntenant = 'No Good'\n")
    done = found(settings_in(tmp_path, peers_file=peers), "receiver")["peers file"]
    assert done.verdict is Verdict.FAIL
    assert "No Good" in done.found


def test_a_port_that_another_program_has_is_a_warning(tmp_path, listening):
    taken = settings_in(tmp_path).model_copy(update={"receiver_port": listening})
    assert found(taken, "receiver")["port"].verdict is Verdict.WARN
    taken = settings_in(tmp_path).model_copy(update={"ui_port": listening})
    assert found(taken, "UI")["port"].verdict is Verdict.WARN


def test_a_receiver_that_listens_is_told_from_another_program(tmp_path, listening):
    chosen = settings_in(tmp_path)
    chosen.home.mkdir()
    here = {"pid": os.getpid(), "host": "127.0.0.1", "port": listening, "ae_title": "AE"}
    (chosen.home / "receiver.json").write_text(json.dumps(here))
    done = found(chosen, "receiver")["reachable"]
    assert done.verdict is Verdict.OK
    assert f"AE at 127.0.0.1:{listening}" in done.found


@pytest.mark.parametrize(
    ("problems", "verdict"),
    [({}, Verdict.OK), ({"disk": Problem("it is full", "free some space")}, Verdict.FAIL)],
)
def test_what_a_running_receiver_says_of_itself_is_told(tmp_path, listening, problems, verdict):
    chosen = settings_in(tmp_path)
    chosen.home.mkdir()
    checks = {name: lambda problem=problem: problem for name, problem in problems.items()}
    server = HttpServer("127.0.0.1", 0, metrics=Metrics(), alive={}, ready=checks)
    port = server.start()
    try:
        here = {"pid": os.getpid(), "host": "127.0.0.1", "port": listening, "ae_title": "AE"}
        told = json.dumps({**here, "http_port": port})
        (chosen.home / "receiver.json").write_text(told)
        done = found(chosen, "receiver")["ready"]
    finally:
        server.stop()
    assert done.verdict is verdict
    assert ("full" in done.found) == bool(problems)


def test_events_that_no_receiver_publishes_are_a_warning(tmp_path):
    chosen = settings_in(tmp_path, worker_node_id="node-1")
    outbox = Outbox(chosen.outbox)
    outbox.add([an_event()])
    outbox.close()
    done = found(chosen, "receiver")
    assert done["outbox events"].verdict is Verdict.WARN
    assert "1 wait" in done["outbox events"].found
    assert done["outbox of node-1"].found == "free"


def test_a_held_outbox_is_in_use(tmp_path):
    chosen = settings_in(tmp_path, worker_node_id="node-1")
    chosen.outbox.parent.mkdir(parents=True)
    with chosen.outbox.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "in use" in found(chosen, "receiver")["outbox of node-1"].found
