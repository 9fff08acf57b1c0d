"""Orthanc as the requester: what it asks is answered in a way that it understands."""

import json
import shutil
import socket
import subprocess
import urllib.request
from contextlib import contextmanager

import pytest

from dicom_pipeline_tests.receiver.commitment.peers import archive
from dicom_pipeline_tests.receiver.commitment.stored import CT, MR, new_uid, wait_until
from receiver.commitment.reports import Address
from receiver.commitment.requests import Reference
from receiver.commitment.service import Commitment

ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")

pytestmark = [
    pytest.mark.service,
    pytest.mark.skipif(not ORTHANC, reason="Orthanc is not installed (apt-get install orthanc)"),
]


def free_ports(count):
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Orthanc:
    """A running Orthanc with AE title MODALITY, which knows the modality ARCHIVE."""

    def __init__(self, http_port, dicom_port):
        self._url = f"http://127.0.0.1:{http_port}"
        self.dicom_port = dicom_port

    def call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(f"{self._url}{path}", data, timeout=10) as response:
            return json.load(response)

    def ready(self):
        try:
            return bool(self.call("/system"))
        except OSError:
            return False

    def request_commitment(self, references):
        """Ask the archive for commitment; returns the REST path of the report to come."""
        instances = [
            {"SOPClassUID": sop_class, "SOPInstanceUID": sop_instance}
            for sop_class, sop_instance in references
        ]
        body = {"DicomInstances": instances}
        return self.call("/modalities/archive/storage-commitment", body)["Path"]

    def report(self, path):
        """The report that has come to a request."""
        wait_until(lambda: self.call(path)["Status"] != "Pending", seconds=20)
        return self.call(path)


@contextmanager
def running_orthanc(folder, archive_port):
    http_port, dicom_port = free_ports(2)
    configuration = folder / "orthanc.json"
    configuration.write_text(
        json.dumps(
            {
                "StorageDirectory": str(folder / "orthanc"),
                "IndexDirectory": str(folder / "orthanc"),
                "HttpPort": http_port,
                "HttpBindAddresses": ["127.0.0.1"],
                "RemoteAccessAllowed": False,
                "DicomAet": "MODALITY",
                "DicomPort": dicom_port,
                "DicomCheckCalledAet": True,
                "DicomModalities": {
                    "archive": {"AET": "ARCHIVE", "Host": "127.0.0.1", "Port": archive_port}
                },
                "Plugins": [],
            }
        )
    )
    with (folder / "orthanc.log").open("w") as log:
        process = subprocess.Popen(
            [ORTHANC, "--verbose", str(configuration)], stdout=log, stderr=log, cwd=folder
        )
    try:
        orthanc = Orthanc(http_port, dicom_port)
        wait_until(lambda: process.poll() is not None or orthanc.ready(), seconds=30)
        assert process.poll() is None, (folder / "orthanc.log").read_text()[-2000:]
        yield orthanc
    finally:
        process.terminate()
        process.wait(20)


def named(reference):
    return {"SOPClassUID": reference.sop_class_uid, "SOPInstanceUID": reference.sop_instance_uid}


@pytest.mark.parametrize("good_only", [True, False], ids=["all safe", "failures exist"])
def test_orthanc_learns_which_of_its_objects_are_safe(stored, tmp_path, good_only):
    addresses = {}
    good = [stored.store()[0] for _ in range(3)]
    other_class, _ = stored.store(sop_class=MR)
    unknown, conflict = Reference(CT, new_uid()), other_class._replace(sop_class_uid=CT)
    asked = good if good_only else [unknown, *good, conflict]
    commitment = Commitment(
        root=stored.root,
        outboxes=stored.outboxes,
        path=stored.transactions,
        address_of=lambda requester: addresses[requester.calling_ae],
        settled=lambda _: True,
    )
    with archive(commitment) as port, running_orthanc(tmp_path, port) as orthanc:
        addresses["MODALITY"] = Address("127.0.0.1", orthanc.dicom_port)
        commitment.start()
        try:
            report = orthanc.report(orthanc.request_commitment(asked))
            wait_until(lambda: commitment.waiting().transactions == 0)
        finally:
            commitment.stop()
    assert report["RemoteAET"] == "ARCHIVE"
    assert report["Success"] == [named(each) for each in good]
    failures = {each["SOPInstanceUID"]: each["FailureReason"] for each in report["Failures"]}
    if good_only:
        assert (report["Status"], failures) == ("Success", {})
    else:
        assert report["Status"] == "Failure"
        assert failures == {
            unknown.sop_instance_uid: 0x0112,
            conflict.sop_instance_uid: 0x0119,
        }
