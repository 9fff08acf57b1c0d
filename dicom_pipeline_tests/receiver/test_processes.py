"""Several receiver processes on one port."""

import fcntl
import json
import os
import signal
import socket
import time
from collections import Counter

import pytest

from dicom_pipeline_tests.receiver.running import (
    family,
    process,
    published,
    read_status,
    run_to_exit,
)
from dicom_pipeline_tests.receiver.test_process import associated, send

pytestmark = pytest.mark.service


def workers(receiver):
    return family(receiver.pid) - {receiver.pid}


def read_worker(home, node):
    path = home / f"receiver.{node}.json"
    return json.loads(path.read_text())["pid"] if path.exists() else None


def test_processes_take_the_connections_of_a_port_in_turn_and_lose_nothing(tmp_path):
    with process(tmp_path, RECEIVER_PROCESSES="2") as receiver:
        acknowledged = []
        for _ in range(8):
            with associated(receiver.port) as association:
                acknowledged += send(association, 2)
        assert len(workers(receiver)) == 2
        receiver.send_signal(signal.SIGTERM)
        assert receiver.wait(60) == 0
    assert len(acknowledged) == 16
    events = published(tmp_path, "storage_queue")
    assert {event.sop_uid for event in events} == set(acknowledged)
    assert Counter(event.worker_node_id for event in events) == {"node-0": 8, "node-1": 8}
    assert read_status(tmp_path) is None


def test_a_process_that_dies_is_started_again_while_the_other_serves(tmp_path):
    with process(tmp_path, RECEIVER_PROCESSES="2") as receiver:
        before = workers(receiver)
        os.kill(min(before), signal.SIGKILL)
        deadline = time.monotonic() + 30
        while len(now := workers(receiver)) < 2 or now == before:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert len(now & before) == 1
        receiver.send_signal(signal.SIGTERM)
        assert receiver.wait(60) == 0


def kill_first(home):
    """Kill node-0; returns what tells its next process from this one."""
    pid = read_worker(home, "node-0")
    os.kill(pid, signal.SIGKILL)
    return pid


def wait_for_another_first(home, receiver, pid):
    deadline = time.monotonic() + 40
    while read_worker(home, "node-0") in {None, pid}:
        assert receiver.poll() is None, "the others go on"
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_process_waits_for_a_neighbour_that_finishes_what_it_has_left(tmp_path):
    with process(tmp_path, RECEIVER_PROCESSES="2") as receiver:
        with (tmp_path / "outbox" / "node-0.lock").open() as lock:
            pid = kill_first(tmp_path)
            fcntl.flock(lock, fcntl.LOCK_EX)
            time.sleep(6)  # longer than a start takes, and a look at an orphan
        wait_for_another_first(tmp_path, receiver, pid)


def test_a_process_that_cannot_come_back_does_not_end_the_others(tmp_path):
    peers = tmp_path / "peers.toml"
    peers.write_text("")
    with process(tmp_path, RECEIVER_PROCESSES="2") as receiver:
        peers.write_text("[")
        pid = kill_first(tmp_path)
        deadline = time.monotonic() + 30
        while '"exit": 2' not in (tmp_path / "log.txt").read_text():
            assert receiver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        peers.write_text("")
        wait_for_another_first(tmp_path, receiver, pid)


def test_a_port_of_another_program_is_a_configuration_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = run_to_exit(tmp_path, RECEIVER_PORT=port, RECEIVER_PROCESSES="2")
    assert result.returncode == 2
    assert "RECEIVER_PORT" in result.stderr
