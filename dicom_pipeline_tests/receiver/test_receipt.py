import errno
import os
import stat
import threading
from pathlib import Path

import pydicom
import pytest

from dicom_pipeline.errors import TransientError
from dicom_pipeline.messages import TransferStatus
from dicom_pipeline.storage import SPARE
from dicom_pipeline_tests.receiver.objects import (
    CT,
    EXPLICIT,
    IMPLICIT,
    MR,
    SENDER,
    FakeOutbox,
    Sent,
    deep_nesting,
    element,
    encode_dataset,
    make_dataset,
    receiving_into,
    request_for,
    store_request,
)
from receiver.part10 import read_head
from receiver.recovery import recover
from receiver.statuses import Status


@pytest.fixture
def root(tmp_path):
    return tmp_path / "storage"


@pytest.fixture
def outbox():
    return FakeOutbox()


@pytest.fixture
def receiving(root, outbox):
    return receiving_into(root, outbox)


def files(root: Path) -> list[str]:
    return sorted(
        str(path.relative_to(root))
        for path in root.rglob("*")
        if path.is_file() and path.suffix != SPARE
    )


def test_a_received_file_holds_exactly_the_bytes_that_came(receiving, root, outbox):
    request = request_for(make_dataset(SOPInstanceUID="1.2.3.4.5"), IMPLICIT)
    assert receiving.receive(SENDER, request) is Status.SUCCESS
    (event,) = outbox.events
    assert event.file_path == "default/20240131/1.2.3/1.2.3.4/1.2.3.4.5.dcm"
    path = root / event.file_path
    head = read_head(path)
    assert path.read_bytes()[head.offset :] == request.data_set
    assert event.file_size == path.stat().st_size
    assert files(root) == [event.file_path]


def test_pydicom_reads_a_received_file(receiving, root, outbox):
    dataset = make_dataset()
    receiving.receive(SENDER, request_for(dataset))
    read = pydicom.dcmread(root / outbox.events[0].file_path)
    assert read.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert read.file_meta.TransferSyntaxUID == EXPLICIT
    assert read.file_meta.SourceApplicationEntityTitle == "SCU"
    assert read.file_meta.FileMetaInformationGroupLength > 0
    assert read == dataset


def test_the_file_alone_tells_of_its_receipt(receiving, root, outbox):
    receiving.receive(SENDER, request_for(make_dataset()))
    (event,) = outbox.events
    receipt = read_head(root / event.file_path).receipt
    assert (receipt.trace_id, receipt.version) == (event.trace_id, event.version)
    assert (receipt.tenant_id, receipt.worker_node_id) == ("default", "node")
    assert (receipt.source_ip, receipt.source_ae, receipt.called_ae) == ("127.0.0.1", "SCU", "SCP")
    assert receipt.digest == event.digest


def test_an_event_says_what_the_object_says(receiving, outbox):
    receiving.receive(SENDER, request_for(make_dataset(NumberOfFrames=3, StudyDate="20240229")))
    (event,) = outbox.events
    assert (event.patient_id, event.accession_number, event.number_of_frames) == ("P1", "A1", 3)
    assert (event.study_date, event.transfer_status) == ("2024-02-29", TransferStatus.PENDING)
    assert (event.phase, event.duplicate_of, event.findings) == (0, None, ())


def test_the_same_bytes_again_write_nothing_and_are_logged_as_a_duplicate(receiving, root, outbox):
    request = request_for(make_dataset())
    receiving.receive(SENDER, request)
    before = files(root)
    assert receiving.receive(SENDER, request) is Status.SUCCESS
    first, second = outbox.events
    assert files(root) == before
    assert second.duplicate_of == first.trace_id
    assert (second.file_path, second.file_size) == (first.file_path, first.file_size)
    assert second.transfer_status == TransferStatus.NO_NEED
    assert second.topics() == ("log_queue",)


def test_the_same_bytes_in_another_transfer_syntax_are_other_bytes(receiving, root, outbox):
    data_set = encode_dataset(make_dataset(SOPInstanceUID="1.2.9"))
    receiving.receive(SENDER, store_request(data_set, uid="1.2.9"))
    receiving.receive(SENDER, store_request(data_set, uid="1.2.9", syntax="1.2.840.10008.1.2.4.70"))
    assert len(files(root)) == 2


def test_other_bytes_under_the_same_uid_get_a_name_with_their_version(receiving, root, outbox):
    uid = "1.2.3.9"
    requests = [
        request_for(make_dataset(SOPInstanceUID=uid, PixelData=pixels)) for pixels in (b"aa", b"bb")
    ]
    for request in (*requests, requests[1], requests[0]):
        assert receiving.receive(SENDER, request) is Status.SUCCESS
    first, second, again, back = outbox.events
    assert first.file_name == f"{uid}.dcm"
    assert second.file_name == f"{uid}~{second.version}.dcm"
    assert again.duplicate_of == second.trace_id, "compared with the newest file"
    assert back.file_name == f"{uid}~{back.version}.dcm"
    assert back.duplicate_of is None, "these bytes are the current ones again"


def test_a_resend_of_a_file_whose_event_may_be_missing_is_a_full_event(receiving, root, outbox):
    request = request_for(make_dataset())
    outbox.failure = TransientError("disk full")
    assert receiving.receive(SENDER, request) is Status.OUT_OF_RESOURCES
    outbox.failure = None
    assert receiving.receive(SENDER, request) is Status.SUCCESS
    (event,) = outbox.events
    assert event.duplicate_of is None
    assert (root / event.file_path).exists()
    assert len(event.topics()) == 4


@pytest.mark.parametrize("size", [0, 200, -1])
def test_to_send_an_object_again_heals_its_damaged_file(receiving, root, outbox, size):
    request = request_for(make_dataset())
    receiving.receive(SENDER, request)
    damaged = root / outbox.events[0].file_path
    os.truncate(damaged, size % damaged.stat().st_size)
    assert receiving.receive(SENDER, request) is Status.SUCCESS
    healed = outbox.events[1]
    assert healed.duplicate_of is None
    assert (root / healed.file_path).read_bytes().endswith(request.data_set)
    receiving.receive(SENDER, request)
    assert outbox.events[2].duplicate_of == healed.trace_id


def test_bytes_that_recovery_placed_late_are_no_duplicate_of_the_current_object(
    receiving, root, outbox, monkeypatch
):
    first = request_for(make_dataset(SOPInstanceUID="1.2.3", PatientID="FIRST"))
    second = request_for(make_dataset(SOPInstanceUID="1.2.3", PatientID="SECOND"))
    with monkeypatch.context() as disk:
        disk.setattr("os.link", failing_link)
        assert receiving.receive(SENDER, first) is Status.OUT_OF_RESOURCES
    assert receiving.receive(SENDER, second) is Status.SUCCESS
    assert recover(root, receiving.incoming.path, outbox).finished == 1

    assert receiving.receive(SENDER, first) is Status.SUCCESS
    current = max(outbox.events, key=lambda event: event.row_version)
    assert current.duplicate_of is None
    assert current.patient_id == "FIRST"


def failing_link(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_an_event_carries_the_character_set_that_its_peer_prescribes(receiving, outbox):
    receiving.receive(SENDER._replace(character_set=("GB18030",)), request_for(make_dataset()))
    receiving.receive(SENDER, request_for(make_dataset()))
    assert [event.character_set for event in outbox.events] == [("GB18030",), ()]


def test_an_endless_sequence_before_the_uids_is_not_understood(receiving, outbox):
    data_set = element(0x0008, 0x0016, "UI", CT.encode() + b"\0")
    data_set += element(0x0008, 0x1140, "SQ", b"", 0xFFFFFFFF)
    data_set += bytes.fromhex("feff00e000000000") * 1_100_000
    assert receiving.receive(SENDER, store_request(data_set, uid="1.2")) is Status.UNREADABLE
    assert outbox.events == []


def test_the_file_and_its_folders_are_synced_before_the_event(root, monkeypatch):
    calls = []
    real_fsync = os.fsync

    def note(descriptor):
        if threading.current_thread() is threading.main_thread():  # not who makes spare files
            kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
            calls.append((kind, str(Path(f"/proc/self/fd/{descriptor}").readlink())))
        real_fsync(descriptor)

    class Outbox(FakeOutbox):
        def add(self, events):
            calls.extend(("event", event.file_path) for event in events)

    receiving = receiving_into(root, Outbox())
    monkeypatch.setattr(receiving.incoming.spares, "take", lambda: None)
    monkeypatch.setattr(os, "fsync", note)
    receiving.receive(SENDER, request_for(make_dataset(SOPInstanceUID="1.2.3.4.5")))
    folder = root / "default/20240131/1.2.3/1.2.3.4"
    names = [path for _, path in calls]
    assert calls[0][0] == "file"
    assert calls[1] == ("folder", str(root / "incoming/node"))
    for synced in (root, root / "default", folder.parent, folder):
        assert 1 < names.index(str(synced)) < len(calls) - 1
    assert calls[-1][0] == "event"


def test_without_free_space_objects_are_refused(root, outbox):
    receiving = receiving_into(root, outbox, min_free_bytes=1 << 60)
    assert receiving.receive(SENDER, request_for(make_dataset())) is Status.OUT_OF_RESOURCES
    assert (files(root), outbox.events) == ([], [])


def test_a_failing_disk_leaves_no_part_of_a_file(receiving, root, outbox, monkeypatch):
    def fail(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    assert receiving.receive(SENDER, request_for(make_dataset())) is Status.OUT_OF_RESOURCES
    assert (files(root), outbox.events) == ([], [])


HOSTILE = [
    "",
    "../../etc/passwd",
    "..",
    "1.2/../../3",
    "1" * 65,
    "1..2",
    ".1.2",
    "1.2\0.3",
    "1.2.3~5",
    "١.٢",
]


@pytest.mark.parametrize("uid", HOSTILE)
def test_a_hostile_instance_uid_is_refused(receiving, root, outbox, uid):
    data_set = encode_dataset(make_dataset(SOPInstanceUID="1.2"))
    status = receiving.receive(SENDER, store_request(data_set, uid=uid))
    assert status is Status.INVALID_INSTANCE
    assert (files(root), outbox.events) == ([], [])


@pytest.mark.parametrize("uid", ["../../../evil", "1" * 65, "1.2/3", "abc", "1..2"])
@pytest.mark.parametrize(("group", "number"), [(0x0020, 0x000D), (0x0020, 0x000E)])
def test_a_hostile_study_or_series_uid_is_refused(receiving, root, outbox, uid, group, number):
    dataset = make_dataset(StudyInstanceUID=None, SeriesInstanceUID=None, PixelData=b"")
    value = uid.encode() + b"\0" * (len(uid) % 2)
    other = 0x000E if number == 0x000D else 0x000D
    pair = sorted([(number, value), (other, b"1.2\0")])
    head = encode_dataset(dataset)
    head = head[: head.index(b"\x28\x00\x10\x00US")]
    data_set = head + b"".join(element(group, each, "UI", text) for each, text in pair)
    status = receiving.receive(SENDER, store_request(data_set, uid=str(dataset.SOPInstanceUID)))
    assert status is (Status.INVALID_STUDY if number == 0x000D else Status.INVALID_SERIES)
    assert (files(root), outbox.events) == ([], [])


def test_a_leading_zero_is_accepted_with_a_finding(receiving, outbox):
    data_set = encode_dataset(make_dataset(SOPInstanceUID="1.22")).replace(b"1.22", b"1.02")
    assert receiving.receive(SENDER, store_request(data_set, uid="1.02")) is Status.SUCCESS
    assert outbox.events[0].findings == ("SOPInstanceUID: component with a leading zero",)


def test_a_bad_study_date_goes_to_the_folder_without_date(receiving, outbox):
    receiving.receive(SENDER, request_for(make_dataset(StudyDate="20240231")))
    (event,) = outbox.events
    assert event.file_path.startswith("default/00000000/")
    assert (event.study_date, event.findings) == (None, ("StudyDate: not a date",))


@pytest.mark.parametrize(
    ("missing", "status"),
    [
        ("SOPClassUID", Status.NO_SOP_CLASS),
        ("SOPInstanceUID", Status.NO_SOP_INSTANCE),
        ("StudyInstanceUID", Status.NO_STUDY),
        ("SeriesInstanceUID", Status.NO_SERIES),
    ],
)
def test_a_missing_uid_has_its_own_status(receiving, outbox, missing, status):
    data_set = encode_dataset(make_dataset(**{"SOPInstanceUID": "1.2", missing: None}))
    assert receiving.receive(SENDER, store_request(data_set, uid="1.2")) is status
    assert outbox.events == []


def test_a_data_set_that_differs_from_its_command_is_refused(receiving):
    data_set = encode_dataset(make_dataset(SOPInstanceUID="1.2"))
    other_instance = store_request(data_set, uid="1.3")
    other_class = store_request(data_set, uid="1.2", sop_class=MR)
    fitting = store_request(data_set, uid="1.2")
    other_context = Sent(fitting.request._replace(abstract_syntax=MR), fitting.data_set)
    assert receiving.receive(SENDER, other_instance) is Status.INSTANCE_MISMATCH
    assert receiving.receive(SENDER, other_class) is Status.CLASS_MISMATCH
    assert receiving.receive(SENDER, other_context) is Status.CLASS_NOT_SUPPORTED


@pytest.mark.parametrize(
    "data_set", [b"", b"\0" * 7, b"no dicom at all", encode_dataset(make_dataset())[:60]]
)
def test_what_cannot_be_parsed_is_not_understood(receiving, outbox, data_set):
    status = receiving.receive(SENDER, store_request(data_set, uid="1.2"))
    assert 0xC000 <= status.code <= 0xCFFF
    assert outbox.events == []


def test_a_data_set_cut_off_behind_its_uids_is_kept_as_it_is(receiving, root, outbox):
    dataset = make_dataset(PixelData=b"p" * 1000)
    data_set = encode_dataset(dataset)[:-500]
    request = store_request(data_set, uid=str(dataset.SOPInstanceUID))
    assert receiving.receive(SENDER, request) is Status.SUCCESS
    assert (root / outbox.events[0].file_path).read_bytes().endswith(data_set)


@pytest.mark.parametrize(
    "insert",
    [
        element(0x0009, 0x1001, "OB", b"x" * (10 << 20)),
        deep_nesting(100_000).replace(b"\x08\x00\x40\x11", b"\x09\x00\x40\x11"),
    ],
    ids=["a private element of 10 MB", "100,000 nested items"],
)
def test_odd_but_whole_data_sets_are_stored(receiving, outbox, insert):
    dataset = make_dataset()
    data_set = encode_dataset(dataset)
    middle = data_set.index(b"\x10\x00\x20\x00LO")
    data_set = data_set[:middle] + insert + data_set[middle:]
    request = store_request(data_set, uid=str(dataset.SOPInstanceUID))
    assert receiving.receive(SENDER, request) is Status.SUCCESS
    assert outbox.events[0].patient_id == "P1"


def test_a_declared_length_of_3_gb_in_100_kb_is_refused_before_the_uids(receiving, outbox):
    data_set = element(0x0008, 0x0016, "UI", CT.encode() + b"\0")
    data_set += element(0x0009, 0x1001, "OB", b"x" * 100_000, 3 << 30)
    assert receiving.receive(SENDER, store_request(data_set, uid="1.2")) is Status.UNREADABLE
    assert outbox.events == []


@pytest.mark.parametrize("same", [True, False], ids=["the same bytes", "different bytes"])
def test_associations_that_race_for_a_name_lose_nothing(receiving, root, outbox, same):
    uid, count = "1.2.3.7", 8
    requests = [
        request_for(make_dataset(SOPInstanceUID=uid, PixelData=b"p" if same else b"%d" % number))
        for number in range(count)
    ]
    barrier = threading.Barrier(count)
    statuses = []

    def send(request):
        barrier.wait()
        statuses.append(receiving.receive(SENDER, request))

    threads = [threading.Thread(target=send, args=(request,)) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [Status.SUCCESS] * count
    assert len(files(root)) == (1 if same else count)
    for event in outbox.events:
        assert read_head(root / event.file_path).receipt.digest == event.digest
    assert any(event.duplicate_of is None for event in outbox.events)


@pytest.mark.parametrize("failure", [ValueError("SECRET"), TransientError("disk full")])
def test_no_log_line_of_a_failure_holds_patient_data(receiving, outbox, caplog, failure):
    outbox.failure = failure
    receiving.receive(SENDER, request_for(make_dataset(PatientID="SECRET")))
    (record,) = caplog.records
    assert "SECRET" not in caplog.text + str(vars(record))
    assert type(failure).__name__ in record.error
    assert "receipt.py" in record.place


def test_no_log_line_holds_patient_data(receiving, caplog):
    caplog.set_level("DEBUG")
    dataset = make_dataset(PatientID="SECRET", PatientName="SECRET^NAME", AccessionNumber="SECRET")
    receiving.receive(SENDER, request_for(dataset))
    receiving.receive(SENDER, store_request(encode_dataset(dataset), uid="SECRET"))
    assert len(caplog.records) == 2
    for record in caplog.records:
        assert "SECRET" not in str(vars(record))
        assert (record.association, record.calling_ae) == ("assoc-1", "SCU")


def test_an_object_that_comes_after_the_stop_is_refused(receiving, root, outbox):
    receiving.stop()
    with (root / "other").open("w"):  # has the number of a descriptor that was closed
        assert receiving.receive(SENDER, request_for(make_dataset())) is Status.OUT_OF_RESOURCES
    assert not outbox.events
    assert files(root) == ["other"]


@pytest.mark.parametrize("dead", ["outbox", "finisher"])
def test_nothing_is_taken_that_could_never_be_finished(receiving, outbox, monkeypatch, dead):
    monkeypatch.setattr(getattr(receiving, dead), "alive", lambda: False)
    assert receiving.receive(SENDER, request_for(make_dataset())) is Status.OUT_OF_RESOURCES
    assert outbox.events == []
