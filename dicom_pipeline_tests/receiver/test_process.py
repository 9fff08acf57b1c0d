"""The receiver as a process: `dicom-receiver`."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file
from pynetdicom import AE

from dicom_pipeline.messages import FAN_OUT
from dicom_pipeline_tests.receiver.objects import CT, EXPLICIT, make_dataset
from dicom_pipeline_tests.receiver.running import process, published, read_status, run_to_exit
from receiver.__main__ import prefer_throughput

pytestmark = pytest.mark.service

HEAVY = ("dagster", "sqlalchemy", "numpy", "pydicom", "pynetdicom", "pandas", "imagecodecs")


@pytest.mark.parametrize("module", ["receiver", "receiver.server", "receiver.__main__"])
def test_importing_the_receiver_loads_nothing_heavy(module):
    program = (
        f"import sys, {module}; "
        f"print([each for each in sys.modules if each.partition('.')[0] in {HEAVY!r}])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"


@contextmanager
def associated(port):
    entity = AE(ae_title="SCU")
    entity.dimse_timeout = entity.network_timeout = 5
    entity.add_requested_context(CT, [EXPLICIT])
    association = entity.associate("127.0.0.1", port)
    assert association.is_established
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def send(association, count=1):
    """Send until the receiver goes away; returns the UIDs that were acknowledged."""
    acknowledged = []
    for _ in range(count):
        dataset = make_dataset()
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = EXPLICIT
        try:
            status = association.send_c_store(dataset)
        except RuntimeError:
            break
        if status and status.Status == 0:
            acknowledged.append(str(dataset.SOPInstanceUID))
    return acknowledged


def test_a_stopped_receiver_has_published_what_it_acknowledged(tmp_path):
    with process(tmp_path) as receiver:
        with associated(receiver.port) as association:
            acknowledged = send(association, 3)
        receiver.send_signal(signal.SIGTERM)
        assert receiver.wait(30) == 0
    assert len(acknowledged) == 3
    assert read_status(tmp_path) is None
    for topic in FAN_OUT:
        assert [event.sop_uid for event in published(tmp_path, topic)] == acknowledged
    lines = [json.loads(line) for line in (tmp_path / "log.txt").read_text().splitlines()]
    (ready,) = [line for line in lines if line["message"] == "receiver is ready"]
    assert ready["port"] == receiver.port


def test_a_killed_receiver_has_lost_nothing_that_it_acknowledged(tmp_path):
    with process(tmp_path) as receiver, associated(receiver.port) as association:
        acknowledged = send(association, 5)
        receiver.kill()
        receiver.wait()
        acknowledged += send(association, 2)
    with process(tmp_path) as receiver:
        receiver.send_signal(signal.SIGTERM)
        assert receiver.wait(30) == 0
    assert len(acknowledged) >= 5
    events = published(tmp_path, "storage_queue")
    assert {event.sop_uid for event in events} >= set(acknowledged)
    assert all((tmp_path / "storage" / event.file_path).exists() for event in events)


def test_without_an_event_log_objects_are_taken_all_the_same(tmp_path):
    blocker = tmp_path / "events.db"
    blocker.mkdir()
    with process(tmp_path) as receiver:
        with associated(receiver.port) as association:
            acknowledged = send(association, 2)
        assert len(acknowledged) == 2
        blocker.rmdir()
        deadline = time.monotonic() + 60
        while not blocker.exists() or len(published(tmp_path, "index_queue")) < 2:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_events_are_published_by_the_next_receiver_even_under_another_name(tmp_path):
    blocker = tmp_path / "events.db"
    blocker.mkdir()
    with process(tmp_path, WORKER_NODE_ID="container-1") as receiver:
        with associated(receiver.port) as association:
            acknowledged = send(association, 2)
        assert len(acknowledged) == 2
        receiver.kill()
        receiver.wait()
    blocker.rmdir()
    with process(tmp_path, WORKER_NODE_ID="container-2") as receiver:
        receiver.send_signal(signal.SIGTERM)
        assert receiver.wait(30) == 0
    for topic in FAN_OUT:  # twice, when the kill came between the outbox and incoming/
        assert {event.sop_uid for event in published(tmp_path, topic)} == set(acknowledged)


def test_nobody_else_may_read_what_the_receiver_writes(tmp_path):
    with process(tmp_path) as receiver:
        with associated(receiver.port) as association:
            assert send(association)
        receiver.send_signal(signal.SIGTERM)
        assert receiver.wait(30) == 0
    written = set(tmp_path.rglob("*")) - {tmp_path / "log.txt"}  # this one is the test's
    assert any(path.suffix == ".dcm" for path in written)
    assert [path for path in written if path.stat().st_mode & 0o077] == []


def test_a_second_receiver_with_the_same_name_is_told_so(tmp_path):
    with process(tmp_path):
        second = run_to_exit(tmp_path)
    assert second.returncode == 2
    assert "WORKER_NODE_ID" in second.stderr


def test_a_port_in_use_is_a_configuration_error(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        done = run_to_exit(tmp_path, RECEIVER_PORT=str(other.getsockname()[1]))
    assert done.returncode == 2
    assert "RECEIVER_PORT" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("variables", "peers"), [({"RECEIVER_PORT": "many"}, ""), ({}, "[[peer]]\ntenant = '../x'\n")]
)
def test_a_wrong_setting_is_a_configuration_error(tmp_path, variables, peers):
    (tmp_path / "peers.toml").write_text(peers)
    assert run_to_exit(tmp_path, **variables).returncode == 2


@pytest.mark.skipif(not shutil.which("storescu"), reason="DCMTK is not installed")
def test_dcmtk_sends_what_pydicom_reads_back(tmp_path):
    names = ["CT_small.dcm", "MR_small_RLE.dcm", "JPEG2000.dcm", "rtplan.dcm"]
    paths = [str(get_testdata_file(name, download=False)) for name in names]
    with process(tmp_path) as receiver:
        done = subprocess.run(
            ["storescu", "-xw", "127.0.0.1", str(receiver.port), *paths[2:3]],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        for option, path in (("-R", paths[0]), ("-xr", paths[1]), ("-R", paths[3])):
            done = subprocess.run(
                ["storescu", option, "127.0.0.1", str(receiver.port), path],
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 0, done.stderr
        receiver.send_signal(signal.SIGTERM)
        assert receiver.wait(30) == 0
    assert len(published(tmp_path, "storage_queue")) == len(names)


def test_no_thread_interrupts_other_programs(tmp_path):
    with process(tmp_path) as receiver:
        threads = [int(each.name) for each in Path(f"/proc/{receiver.pid}/task").iterdir()]
        assert {os.sched_getscheduler(each) for each in threads} == {os.SCHED_BATCH}


def test_who_has_chosen_a_scheduling_policy_keeps_it():
    def policy_after(policy):
        os.sched_setscheduler(0, policy, os.sched_param(0))  # of this thread
        prefer_throughput()
        return os.sched_getscheduler(0)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(policy_after, os.SCHED_OTHER).result() == os.SCHED_BATCH
        assert pool.submit(policy_after, os.SCHED_IDLE).result() == os.SCHED_IDLE
