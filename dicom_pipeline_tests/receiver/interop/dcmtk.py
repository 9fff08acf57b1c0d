"""DCMTK's programs against a receiver on this machine."""

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.receiver.objects import EXPLICIT, make_dataset
from dicom_pipeline_tests.receiver.orthanc import free_ports

needs_dcmtk = pytest.mark.skipif(
    not shutil.which("dcmsend"), reason="DCMTK is not installed (apt-get install dcmtk)"
)


def sample(name) -> str:
    """Path of one of pydicom's own test files."""
    return str(get_testdata_file(name, download=False))


def start(program, port, *arguments, options=()):
    """A running sender."""
    return subprocess.Popen(
        [program, *options, "127.0.0.1", str(port), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def run(program, port, *arguments, options=()):
    """Exit code and output of a sender."""
    child = start(program, port, *arguments, options=options)
    try:
        output, _ = child.communicate(timeout=30)
    finally:
        child.kill()
    return child.returncode, output


def succeed(program, port, *arguments, options=()):
    code, output = run(program, port, *arguments, options=options)
    assert code == 0, output
    return output


def write_objects(folder, count):
    """Files to send, of as many instances of one series; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for _ in range(count):
        dataset = make_dataset()
        dataset.ensure_file_meta()
        dataset.file_meta.TransferSyntaxUID = EXPLICIT
        path = folder / f"{dataset.SOPInstanceUID}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths


@contextmanager
def storescp(folder):
    """DCMTK's own receiver, which keeps the bytes that come; yields its port."""
    (port,) = free_ports(1)
    folder.mkdir()
    child = subprocess.Popen(["storescp", "+B", "+xa", "-od", str(folder), str(port)])
    try:
        wait_until(lambda: run("echoscu", port)[0] == 0)
        yield port
    finally:
        child.kill()
        child.wait()


def kept(folder, uid) -> Path:
    """The file in which `storescp` has kept an object."""
    (path,) = Path(folder).glob(f"*{uid}")
    return path
