"""A running Orthanc in a folder of its own."""

import json
import shutil
import socket
import subprocess
import urllib.request
from contextlib import contextmanager

from dicom_pipeline_tests.receiver.listening import wait_until

ORTHANC = shutil.which("Orthanc") or shutil.which("Orthanc", path="/usr/sbin")


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
        """Get, or post JSON or the bytes of a file; returns the answer."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
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
def running_orthanc(folder, archive_port, dicom_port=None):
    """``dicom_port``: where it listens, when others must know beforehand."""
    http_port, free_port = free_ports(2)
    dicom_port = dicom_port or free_port
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
