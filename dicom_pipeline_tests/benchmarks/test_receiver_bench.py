"""The receiver's benchmark runs, and what it writes can be read by others."""

import argparse
import json
import shutil
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest
from pydicom import dcmread
from rich.console import Console

from benchmarks.loads import LOADS
from benchmarks.receiver import Bench
from benchmarks.senders import write_folders
from benchmarks.systems import REPOSITORY, system
from benchmarks.template import patch, uids
from benchmarks.wire import Association, StoreMessage, WireError
from receiver.commands import Command, Operation, response
from receiver.wire import message

ROW = {
    "system": str,
    "load": str,
    "associations": int,
    "sender": str,
    "objects_per_s": float,
    "mb_per_s": float,
    "cpu_ms_per_object": float,
    "p50_ms": float,
    "p99_ms": float,
    "sender_cpu_ms_per_object": float,
    "runs": int,
}


@pytest.mark.service
@pytest.mark.timeout(200)
def test_a_quick_run_measures_each_system_and_writes_the_rows(tmp_path):
    results = tmp_path / "results.json"
    subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.receiver", "--quick", "--objects", "40"),
            *("--systems", "dicom-pipeline,pynetdicom,files", "--loads", "small"),
            *("--json", results, "--parent", tmp_path),
        ],
        cwd=REPOSITORY,
        check=True,
        timeout=180,
    )
    content = json.loads(results.read_text())
    assert content["machine"]["cores"] >= 1
    assert [row["system"] for row in content["rows"]] == ["dicom-pipeline", "pynetdicom", "files"]
    assert {ratio["over"] for ratio in content["ratios"]} == {"files"}
    for row in content["rows"]:
        assert {name: type(value) for name, value in row.items()} == ROW
        assert row["objects_per_s"] > 0
        assert row["p50_ms"] <= row["p99_ms"]
    assert [each.name for each in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.parametrize(("load", "size"), [("ct", 527_000), ("small", 19_000)])
def test_a_load_has_a_real_header_and_its_size(load, size, tmp_path):
    template = LOADS[load]()
    assert len(template.data_set) == pytest.approx(size, rel=0.02)
    (folder,) = write_folders(template, tmp_path, 1, 3)
    objects = [dcmread(path) for path in sorted(folder.iterdir())]
    assert len({ds.SOPInstanceUID for ds in objects}) == 3
    assert len(objects[0]) > 100
    for ds in objects:
        assert ds.SOPInstanceUID == ds.file_meta.MediaStorageSOPInstanceUID
        assert ds.pixel_array.shape == (ds.Rows, ds.Columns)


@pytest.mark.parametrize("max_pdu", [4096, 16384, 131072, 1 << 20])
def test_a_request_keeps_to_the_acceptors_pdu_length_and_carries_the_object(max_pdu):
    template = LOADS["small"]()
    message = StoreMessage(template, max_pdu)
    assert message.make(7, 1234) == 1235
    buffer, data_set, lengths, position = bytes(message.buffer), b"", [], 0
    while position < len(buffer):
        length = int.from_bytes(buffer[position + 2 : position + 6], "big")
        if position:  # the first one is the command
            data_set += buffer[position + 12 : position + 6 + length]
        lengths.append(length)
        position += 6 + length
    expected = bytearray(template.data_set)
    patch(expected, template.offsets(template.data_set), uids(7, 1234))
    assert max(lengths) <= max_pdu
    assert data_set == expected
    assert uids(7, 1234)["instance"] in buffer[: lengths[0] + 6]


def test_a_request_whose_uid_two_pdus_share_is_refused():
    template = LOADS["small"]()
    place = template.offsets(template.data_set)["instance"][0]
    with pytest.raises(WireError, match="cut a UID in two"):
        StoreMessage(template, place + 6 + 10)


@pytest.mark.parametrize("name", ["conquest", "orthanc:public", "dicom-pipeline:swift"])
def test_an_unknown_system_or_variant_is_named(name):
    with pytest.raises(ValueError, match=name.partition(":")[2] or name):
        system(name)


def test_the_status_is_read_whatever_the_numbers_of_a_response():
    request = Command(Operation.C_STORE, 0, 0, True, 0, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", 0)
    with socket.socket() as unused:
        for number in range(0x10000):
            answer = response(request._replace(message_id=number), 0xA700 + number % 256)
            association = Association(unused, 0, message(1, answer))
            assert association.status(number) == 0xA700 + number % 256


def test_a_response_to_another_message_is_no_answer():
    request = Command(Operation.C_STORE, 8, 0, True, 0, "1.2.840.10008.5.1.4.1.1.2", "1.2.3", 0)
    with (
        socket.socket() as unused,
        pytest.raises(WireError, match="response to message 8 instead of 9"),
    ):
        Association(unused, 0, message(1, response(request, 0))).status(9)


def test_a_nearly_full_disk_gets_room_without_a_deletion(tmp_path, monkeypatch):
    names = {"0001/a/b.dcm": 0, "0002/c.db": 0, "inputs/small.data": 5}
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"bytes")
    free = iter([1, 1 << 40])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free)))
    Bench(argparse.Namespace(), tmp_path, Console())._make_room()
    assert {name: (tmp_path / name).stat().st_size for name in names} == names
