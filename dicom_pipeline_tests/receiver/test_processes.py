"""Several receiver processes on one port."""

import os
import signal
import socket
import time

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


def test_processes_share_a_port_and_lose_nothing(tmp_path):
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
    assert {event.worker_node_id for event in events} == {"node-0", "node-1"}
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


def test_a_port_of_another_program_is_a_configuration_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        result = run_to_exit(tmp_path, RECEIVER_PORT=port, RECEIVER_PROCESSES="2")
    assert result.returncode == 2
    assert "RECEIVER_PORT" in result.stderr
