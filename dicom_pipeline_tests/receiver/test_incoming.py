"""An object on its way into its file, through a buffer that is smaller than most."""

import hashlib
import os
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dicom_pipeline_tests.receiver.objects import (
    CT,
    EXPLICIT,
    SENDER,
    FakeOutbox,
    element,
    encode_dataset,
    make_dataset,
    receiving_into,
    request_for,
    store_request,
    unfinished,
)
from receiver.incoming import BUFFER_BYTES, DIRECT_BYTES, IncomingObject, ObjectBuffer
from receiver.object_file import BLOCK, ObjectFile
from receiver.part10 import HEAD_BYTES, read_head
from receiver.statuses import Status

BUFFER = 2 * HEAD_BYTES
ROOM = BUFFER - HEAD_BYTES
HEAD = b"h" * HEAD_BYTES


def an_object(path, buffer_bytes=BUFFER, buffer=None):
    make_file = partial(ObjectFile, str(path))
    return IncomingObject(make_file, EXPLICIT, buffer or ObjectBuffer(buffer_bytes))


def put(stored, data, size):
    """As a reception does: fragments of ``size`` bytes, a spill whenever the buffer is full."""
    for start in range(0, len(data), size):
        fragment = memoryview(data)[start : start + size]
        while fragment:
            if not stored.room:
                stored.spill()
            room = stored.room
            stored.append(fragment[:room])
            fragment = fragment[room:]


def noise(length):
    return bytes((each * 7 + each // 251) & 0xFF for each in range(length))


@pytest.mark.parametrize(
    "length",
    [0, 1, ROOM - 1, ROOM, ROOM + 1, ROOM + BUFFER - 1, ROOM + BUFFER, ROOM + BUFFER + 1, 50_000],
)
@pytest.mark.parametrize("size", [1, 100, ROOM, 10_000])
def test_the_file_holds_head_and_data_whatever_the_size(tmp_path, length, size):
    buffer, data = ObjectBuffer(BUFFER), noise(length)
    for number in range(2):  # the second finds what the first has left in the buffer
        path = tmp_path / f"{number}.dcm"
        stored = an_object(path, buffer=buffer)
        put(stored, data, size)
        assert stored.spilled is (length > ROOM)
        assert stored.digest() == hashlib.sha256(EXPLICIT.encode() + data).hexdigest()
        stored.write(HEAD)
        stored.sync()
        assert path.read_bytes() == HEAD + data
        stored.discard()
        assert not path.exists(), "its entry in the folder may not be durable"


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(sizes=st.lists(st.integers(0, 3 * BUFFER), max_size=6))
def test_fragments_of_any_size_are_put_together(tmp_path, sizes):
    data = noise(sum(sizes))
    stored = an_object(path := tmp_path / "object.dcm")
    position = 0
    for size in sizes:
        put(stored, data[position : position + size], size or 1)
        position += size
    digest = stored.digest()
    stored.write(HEAD)
    stored.sync()
    assert path.read_bytes() == HEAD + data
    assert digest == hashlib.sha256(EXPLICIT.encode() + data).hexdigest()
    path.unlink()


@pytest.mark.parametrize("length", [ROOM + 1, ROOM + BUFFER, 50_000])
def test_the_whole_data_set_can_be_read_before_its_head_is_written(tmp_path, length):
    data, buffer = noise(length), ObjectBuffer(BUFFER)
    buffer.view[:HEAD_BYTES] = HEAD  # an object before has left it
    stored = an_object(path := tmp_path / "object.dcm", buffer=buffer)
    put(stored, data, 1000)
    digest = stored.digest()
    with stored.in_file() as data_set:
        assert data_set == data
    assert path.read_bytes() == bytes(HEAD_BYTES) + data, "recovery sees it is not complete"
    stored.write(HEAD)
    stored.sync()
    assert path.read_bytes() == HEAD + data
    assert digest == hashlib.sha256(EXPLICIT.encode() + data).hexdigest()


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("length", [0, 10, ROOM + 1, 50_000])
@pytest.mark.parametrize("written", [False, True])
def test_a_discarded_object_leaves_nothing(tmp_path, length, written):
    before = open_descriptors()
    stored = an_object(tmp_path / "object.dcm")
    put(stored, noise(length), 1000)
    if written:
        stored.write(HEAD)
    stored.discard()
    stored.discard()
    assert (list(tmp_path.iterdir()), open_descriptors()) == ([], before)


def test_no_file_is_written_over(tmp_path):
    path = tmp_path / "object.dcm"
    path.write_bytes(b"another's")
    stored = an_object(path)
    with pytest.raises(FileExistsError):
        stored.write(HEAD)
    assert path.read_bytes() == b"another's"


def test_a_disk_that_takes_a_part_at_a_time_gets_all(tmp_path, monkeypatch):
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, data: real(file, data[:4096]))
    data = noise(50_000)
    stored = an_object(path := tmp_path / "object.dcm", 4 * BUFFER)
    put(stored, data, 5000)
    stored.write(HEAD)
    stored.sync()
    assert path.read_bytes() == HEAD + data


LARGE = DIRECT_BYTES + 8 * BLOCK


FULL = BUFFER_BYTES - HEAD_BYTES


@pytest.mark.parametrize(
    "length", [LARGE, LARGE + 2, LARGE + BLOCK - HEAD_BYTES, LARGE + 4094, FULL - 10, FULL]
)
@pytest.mark.parametrize("before", [100, LARGE, LARGE + 2, LARGE + 500])
def test_a_large_file_ends_with_a_whole_block_whatever_came_before(tmp_path, length, before):
    buffer = ObjectBuffer()
    for size in (before, length):
        stored = an_object(path := tmp_path / f"{size}.dcm", buffer=buffer)
        data = noise(size)
        put(stored, data, 100_000)
        spilled = stored.spilled
        stored.fit()
        assert HEAD_BYTES <= stored.head_bytes < HEAD_BYTES + BLOCK
        stored.write(head := b"h" * stored.head_bytes)
        stored.sync()
        assert path.read_bytes() == head + data
        path.unlink()
    assert spilled or (stored.head_bytes + length) % BLOCK == 0


@pytest.mark.parametrize("length", [DIRECT_BYTES // 2, LARGE + 1])
def test_a_small_file_or_one_of_odd_length_has_the_shortest_head(tmp_path, length):
    buffer = ObjectBuffer()
    buffer.head_bytes = HEAD_BYTES + 1000
    stored = an_object(path := tmp_path / "object.dcm", buffer=buffer)
    put(stored, data := noise(length), 100_000)
    stored.fit()
    stored.write(HEAD)
    stored.sync()
    assert path.read_bytes() == HEAD + data


@pytest.mark.parametrize("head_bytes", [HEAD_BYTES, BLOCK, BLOCK + 1000])
def test_a_spilled_object_keeps_the_room_that_was_left_for_its_head(tmp_path, head_bytes):
    buffer = ObjectBuffer(4 * BLOCK)
    buffer.head_bytes = head_bytes
    stored = an_object(path := tmp_path / "object.dcm", buffer=buffer)
    put(stored, data := noise(100_000), 5000)
    with stored.in_file() as data_set:
        assert data_set == data
    stored.fit()
    assert stored.head_bytes == head_bytes
    assert path.read_bytes() == bytes(head_bytes) + data, "recovery sees it is not complete"
    stored.write(head := b"h" * head_bytes)
    stored.sync()
    assert path.read_bytes() == head + data


@pytest.fixture
def receiving(tmp_path):
    receiving = receiving_into(tmp_path / "storage", FakeOutbox())
    yield receiving
    assert unfinished(receiving.incoming.path) == []
    assert receiving.incoming.in_flight() == frozenset()


def receive(receiving, sent):
    return receiving.receive(SENDER, sent, buffer_bytes=BUFFER)


def stored_bytes(receiving):
    (event,) = receiving.outbox.events
    path = receiving.root / event.file_path
    head = read_head(path)
    assert event.file_size == path.stat().st_size == head.offset + head.receipt.length
    assert event.digest == head.receipt.digest
    return path.read_bytes()[head.offset :]


@pytest.mark.parametrize("size", [10, ROOM - 400, ROOM, ROOM + BUFFER, 30_000])
def test_objects_larger_than_the_buffer_are_stored_like_others(receiving, size):
    sent = request_for(make_dataset(PixelData=noise(size)))
    assert receive(receiving, sent) is Status.SUCCESS
    assert stored_bytes(receiving) == sent.data_set
    assert receiving.outbox.events[0].patient_id == "P1"


def behind_a_sequence(size, **changes):
    """An object whose patient and UIDs stand behind ``size`` bytes."""
    dataset = make_dataset(SOPInstanceUID="1.2.5", **changes)
    data_set = encode_dataset(dataset)
    middle = data_set.index(b"\x10\x00\x20\x00LO")
    item = bytes.fromhex("feff00e0") + size.to_bytes(4, "little") + bytes(size)
    return data_set[:middle] + element(0x0008, 0x1140, "SQ", item) + data_set[middle:]


@pytest.mark.parametrize("size", [ROOM - 100, ROOM, BUFFER, 10 * BUFFER])
def test_fields_behind_a_sequence_larger_than_the_buffer_are_found(receiving, size):
    data_set = behind_a_sequence(size, PatientID="BEHIND", NumberOfFrames=3)
    assert receive(receiving, store_request(data_set, uid="1.2.5")) is Status.SUCCESS
    (event,) = receiving.outbox.events
    assert (event.patient_id, event.number_of_frames) == ("BEHIND", 3)
    assert stored_bytes(receiving) == data_set


@pytest.mark.parametrize("group", [0x0009, 0x0011, 0x0021])
@pytest.mark.parametrize("beyond", [-2, 0, 2])
@pytest.mark.parametrize("head_bytes", [HEAD_BYTES, HEAD_BYTES + 888])
def test_an_element_that_ends_with_the_buffer_hides_none_that_follows(
    receiving, group, beyond, head_bytes
):
    dataset = make_dataset(SOPInstanceUID="1.2.5", NumberOfFrames=3, PixelData=bytes(9 * BLOCK))
    dataset.add_new(group << 16 | 0x10, "LO", "SOMEBODY")
    dataset.add_new(group << 16 | 0x1001, "OB", b"")
    before = encode_dataset(dataset).index(element(group, 0x1001, "OB", b"")) + 12
    buffer = ObjectBuffer(4 * BLOCK)
    buffer.head_bytes = head_bytes
    dataset[group << 16 | 0x1001].value = bytes(4 * BLOCK - head_bytes - before + beyond)
    sent = request_for(dataset)
    reception = receiving.begin(SENDER, sent.request, buffer)
    reception.append(memoryview(sent.data_set))
    assert reception.finish() is Status.SUCCESS
    (event,) = receiving.outbox.events
    assert (event.patient_id, event.number_of_frames) == ("P1", 3)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"StudyInstanceUID": None}, Status.NO_STUDY),
        ({"SOPClassUID": "1.2.3"}, Status.CLASS_MISMATCH),
        ({"SOPInstanceUID": "1.2.6"}, Status.INSTANCE_MISMATCH),
    ],
)
@pytest.mark.parametrize("before", [0, 10 * BUFFER], ids=["first buffer", "behind it"])
def test_a_large_object_with_bad_fields_leaves_nothing(receiving, change, status, before):
    dataset = make_dataset(**{"SOPInstanceUID": "1.2.5", "PixelData": bytes(5 * BUFFER), **change})
    data_set = encode_dataset(dataset)
    middle = data_set.index(b"\x10\x00\x20\x00LO")
    data_set = data_set[:middle] + element(9, 0x1001, "OB", bytes(before)) + data_set[middle:]
    assert receive(receiving, store_request(data_set, uid="1.2.5")) is status
    assert receiving.outbox.events == []


def test_bad_fields_in_the_first_buffer_refuse_before_anything_is_written(receiving):
    sent = request_for(make_dataset(StudyInstanceUID=None, PixelData=bytes(5 * BUFFER)))
    reception = receiving.begin(SENDER, sent.request, ObjectBuffer(BUFFER))
    reception.append(memoryview(sent.data_set)[: 2 * BUFFER])
    assert unfinished(receiving.incoming.path) == []
    reception.append(memoryview(sent.data_set)[2 * BUFFER :])
    assert reception.finish() is Status.NO_STUDY


def test_a_large_object_that_never_ends_leaves_nothing(receiving):
    sent = request_for(make_dataset(PixelData=bytes(5 * BUFFER)))
    reception = receiving.begin(SENDER, sent.request, ObjectBuffer(BUFFER))
    reception.append(memoryview(sent.data_set)[: 3 * BUFFER])
    (path,) = unfinished(receiving.incoming.path)
    assert receiving.incoming.in_flight() == {path.name}, "recovery leaves it alone"
    assert path.read_bytes()[:HEAD_BYTES] == bytes(HEAD_BYTES)
    reception.discard()


def test_a_disk_that_fails_within_a_large_object_leaves_nothing(receiving, monkeypatch):
    real, written = os.write, []

    def fail_later(file, data):
        written.append(len(data))
        if len(written) > 2:
            raise OSError(28, "No space left on device")
        return real(file, data)

    monkeypatch.setattr(os, "write", fail_later)
    sent = request_for(make_dataset(PixelData=bytes(9 * BUFFER)))
    assert receive(receiving, sent) is Status.OUT_OF_RESOURCES
    assert receiving.outbox.events == []


def test_one_buffer_serves_objects_of_all_sizes_after_each_other(receiving):
    buffer = ObjectBuffer(BUFFER)
    for size in (10, 30_000, 200, ROOM, 9000, 10):
        sent = request_for(make_dataset(SOPClassUID=CT, PixelData=noise(size)))
        reception = receiving.begin(SENDER, sent.request, buffer)
        reception.append(memoryview(sent.data_set))
        assert reception.finish() is Status.SUCCESS
        assert stored_bytes(receiving) == sent.data_set
        receiving.outbox.events.clear()
