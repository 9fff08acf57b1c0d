"""Storage commitment of a receiver process, with everything away that may be."""

import socket
import time

import pytest

from dicom_pipeline_tests.receiver.commitment.peers import (
    Reports,
    listener,
    request_commitment,
    requesting,
    told,
)
from dicom_pipeline_tests.receiver.commitment.stored import MR
from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.receiver.objects import CT, encode_dataset, make_dataset, new_uid
from dicom_pipeline_tests.receiver.running import process
from dicom_pipeline_tests.receiver.sender import Sender
from receiver.commitment.requests import Reference
from receiver.commitment.transactions import FailureReason

pytestmark = pytest.mark.service

OBJECTS = 500
PEERS = """
[[peer]]
tenant = "default"
commitment_port = {port}
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def store_all(port):
    stored = []
    with Sender(port, calling="MODALITY", called="ARCHIVE") as sender:
        for _ in range(OBJECTS):
            dataset = make_dataset()
            stored.append(Reference(CT, str(dataset.SOPInstanceUID)))
            assert sender.store(stored[-1].sop_instance_uid, encode_dataset(dataset)) == 0
    return stored


def attempts(home):
    """How many reports could not be delivered."""
    return (home / "log.txt").read_text().count("storage commitment not reported yet")


@pytest.mark.parametrize("loop", ["fast", "public"])
def test_a_report_survives_a_kill_without_event_log_and_with_its_requester_away(tmp_path, loop):
    (tmp_path / "events.db").mkdir()  # the event log cannot be opened
    port = free_port()
    (tmp_path / "peers.toml").write_text(PEERS.format(port=port))
    with process(tmp_path, RECEIVER_LOOP=loop) as receiver:
        stored = store_all(receiver.port)
        unknown, wrong_class = Reference(CT, new_uid()), Reference(MR, stored[7].sop_instance_uid)
        asked = [*stored, unknown, wrong_class]
        with requesting(receiver.port) as association:
            assert request_commitment(association, asked, "1.2.840.77") == 0x0000
        receiver.kill()
        receiver.wait()
    reports, before = Reports(), attempts(tmp_path)
    with process(tmp_path, RECEIVER_LOOP=loop):
        wait_until(lambda: attempts(tmp_path) > before)
        with listener(reports, port=port):
            wait_until(lambda: reports.received, seconds=30)
            time.sleep(0.2)  # for a second one that should not come
    ((kind, report),) = reports.received
    assert (kind, report.TransactionUID) == (2, "1.2.840.77")
    good, failed = told(report)
    assert {Reference(*each) for each in good} == set(stored)
    assert len(good) == OBJECTS
    assert failed == {
        unknown: FailureReason.NO_SUCH_OBJECT,
        wrong_class: FailureReason.CLASS_CONFLICT,
    }
