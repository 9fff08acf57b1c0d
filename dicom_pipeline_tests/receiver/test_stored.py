"""A stored file gives the very event that was published for it; a bad one says what is wrong."""

import os
import shutil

import pytest

from dicom_pipeline.messages import decode_event
from dicom_pipeline_tests.receiver.objects import (
    EXPLICIT,
    SENDER,
    FakeOutbox,
    encode_dataset,
    make_dataset,
    receiving_into,
    request_for,
)
from receiver.part10 import HEAD_BYTES
from receiver.statuses import Status
from receiver.stored import ADOPTED_BY, Earlier, LeftOut, Stored, read_stored

FOREIGN = "default/scans/foreign.dcm"


@pytest.fixture
def outbox():
    return FakeOutbox()


@pytest.fixture
def stored(tmp_path, outbox):
    """Receives a data set; the event that was published."""
    receiving = receiving_into(tmp_path, outbox)

    def store(sender=SENDER, **changes):
        assert receiving.receive(sender, request_for(make_dataset(**changes))) is Status.SUCCESS
        return outbox.events[-1]

    return store


def event_of(root, event, **wishes):
    found = read_stored(root, event.file_path, **wishes)
    assert isinstance(found, Stored), found
    return decode_event(found.value)


def path_of(root, event):
    return root / event.file_path


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"StudyDate": "20240231"},
        {"StudyDate": None, "PatientID": None, "AccessionNumber": None},
        {"SOPInstanceUID": "1.02.3"},
        {"PatientID": "P" * 80},
        {"NumberOfFrames": "7"},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:(Invalid value|The value length):UserWarning")
def test_its_event_is_the_one_that_was_published(tmp_path, stored, changes):
    event = stored(**changes)
    assert event_of(tmp_path, event, verify=True) == event


def test_an_object_larger_than_a_reader_may_map_has_its_event_too(tmp_path, stored, monkeypatch):
    event = stored(PixelData=bytes(100_000))
    monkeypatch.setattr("receiver.stored._MAPPED", 8192)
    assert event_of(tmp_path, event, verify=True) == event


def test_a_character_set_of_the_peer_is_part_of_it(tmp_path, stored):
    event = stored(SENDER._replace(character_set=("GB18030",)), PatientID="P1")
    assert event.character_set == ("GB18030",)
    assert event_of(tmp_path, event) == event


def test_other_bytes_under_the_same_uid_have_their_own_events(tmp_path, stored):
    events = [stored(SOPInstanceUID="1.2.9", Rows=rows) for rows in (1, 2, 3)]
    assert len({event.file_path for event in events}) == 3
    assert [event_of(tmp_path, event) for event in events] == events


def test_what_was_received_before_the_time_of_interest_is_passed_over(tmp_path, stored):
    event = stored()
    assert read_stored(tmp_path, event.file_path, since=event.version + 1) == Earlier()
    assert event_of(tmp_path, event, since=event.version) == event


def test_a_file_that_was_cut_off_has_an_event_that_says_so(tmp_path, stored):
    event = stored()
    path = path_of(tmp_path, event)
    os.truncate(path, path.stat().st_size - 4)
    found = read_stored(tmp_path, event.file_path)
    assert found.damage == f"{event.file_size - 4} bytes instead of {event.file_size}"
    told = decode_event(found.value)
    assert told.row_version == event.row_version
    assert told.findings == (f"stored file is damaged: {found.damage}",)


def test_other_pixels_are_found_when_the_whole_file_is_read(tmp_path, stored):
    event = stored()
    content = path_of(tmp_path, event).read_bytes()
    path_of(tmp_path, event).write_bytes(content[:-1] + b"\xff")
    assert event_of(tmp_path, event) == event
    assert read_stored(tmp_path, event.file_path, verify=True).damage


def test_a_file_without_its_data_set_is_known_by_its_path(tmp_path, stored):
    event = stored()
    with path_of(tmp_path, event).open("r+b") as file:
        file.seek(HEAD_BYTES)
        file.write(b"\xff" * (event.file_size - HEAD_BYTES))
    found = read_stored(tmp_path, event.file_path)
    assert found.damage == "other bytes than its digest says"
    told = decode_event(found.value)
    for name in ("trace_id", "version", "sop_uid", "study_uid", "series_uid", "study_date"):
        assert getattr(told, name) == getattr(event, name)


def test_a_damaged_file_without_an_event_is_left_out(tmp_path, stored):
    event = stored()
    with path_of(tmp_path, event).open("r+b") as file:
        file.write(b"\0" * HEAD_BYTES)
    assert read_stored(tmp_path, event.file_path).code == "not_dicom"


@pytest.mark.parametrize("place", ["other/{}", "default/{}", "default/00000000/1/2/3.dcm"])
def test_a_file_that_was_moved_is_left_out_and_told_where_it_belongs(tmp_path, stored, place):
    event = stored()
    moved = place.format(event.file_path.split("/", 1)[1].replace("1.2.3/", "1.2.4/"))
    (tmp_path / moved).parent.mkdir(parents=True, exist_ok=True)
    path_of(tmp_path, event).rename(tmp_path / moved)
    found = read_stored(tmp_path, moved)
    assert found.code == "misplaced"
    assert event.file_path in found.reason


def test_a_copy_under_a_version_that_is_none_of_its_own_is_left_out(tmp_path, stored):
    event = stored()
    copy = event.file_path.replace(".dcm", f"~{event.version - 1}.dcm")
    shutil.copy(path_of(tmp_path, event), tmp_path / copy)
    assert read_stored(tmp_path, copy).code == "misplaced"


@pytest.fixture
def foreign(tmp_path):
    """A Part 10 file that somebody has copied into the root."""
    ds = make_dataset(SOPInstanceUID="1.2.77")
    path = tmp_path / FOREIGN
    path.parent.mkdir(parents=True)
    uid, klass = b"1.2.840.10008.1.2.1\0", ds.SOPClassUID.encode()
    group = b"\x02\0\x10\0UI" + len(uid).to_bytes(2, "little") + uid
    group += b"\x02\0\x02\0UI" + len(klass).to_bytes(2, "little") + klass
    head = b"\0" * 128 + b"DICM\x02\0\0\0UL\x04\0" + len(group).to_bytes(4, "little")
    path.write_bytes(head + group + encode_dataset(ds, EXPLICIT))
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def test_a_foreign_file_is_left_out_with_a_remedy(tmp_path, foreign):
    found = read_stored(tmp_path, FOREIGN)
    assert found.code == "no_receipt"
    assert "--adopt" in found.reason


def test_a_foreign_file_is_adopted_as_the_same_receipt_each_time(tmp_path, foreign):
    before = foreign.read_bytes()
    first, second = (read_stored(tmp_path, FOREIGN, adopt=True) for _ in range(2))
    assert first == second
    assert first.adopted
    event = decode_event(first.value)
    assert event.tenant_id == "default"
    assert event.worker_node_id == ADOPTED_BY
    assert event.version == 1_700_000_000_000_000
    assert (event.sop_uid, event.file_path) == ("1.2.77", FOREIGN)
    assert foreign.read_bytes() == before


def test_two_foreign_files_of_one_content_are_two_receipts(tmp_path, foreign):
    shutil.copy2(foreign, foreign.with_name("again.dcm"))
    names = (FOREIGN, "default/scans/again.dcm")
    found = [decode_event(read_stored(tmp_path, name, adopt=True).value) for name in names]
    assert len({event.trace_id for event in found}) == 2


@pytest.mark.parametrize(
    ("content", "code"),
    [(b"", "not_dicom"), (b"no DICOM" * 99, "not_dicom"), (b"\0" * 128 + b"DICM", "not_dicom")],
)
def test_what_is_no_dicom_is_left_out(tmp_path, content, code):
    (tmp_path / "default").mkdir()
    (tmp_path / "default/x").write_bytes(content)
    assert read_stored(tmp_path, "default/x", adopt=True).code == code


def test_what_is_gone_or_no_file_is_left_out(tmp_path):
    (tmp_path / "folder").mkdir()
    assert read_stored(tmp_path, "missing").code == "gone"
    assert isinstance(read_stored(tmp_path, "folder"), LeftOut)
