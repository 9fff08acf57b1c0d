"""`send` against a Storage SCP of pynetdicom: independent of our own receiver."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    generate_uid,
)
from pynetdicom import AE, evt

from dicom_pipeline.cli import sending
from dicom_pipeline.cli.network import free_port
from dicom_pipeline.cli.sending import (
    Answer,
    Destination,
    Outgoing,
    batches,
    find_files,
    read_outgoing,
    run_send,
    send_files,
)
from dicom_pipeline.demo.objects import ct_series
from dicom_pipeline.errors import ConfigurationError, TransientError
from dicom_pipeline.settings import Settings


class Scp:
    """Keeps what it gets; ``statuses`` are answered in turn, then success."""

    def __init__(self) -> None:
        self.bytes: dict[str, bytes] = {}
        self.order: list[str] = []
        self.statuses: list[int] = []
        self.abort_after: int | None = None
        self._lock = threading.Lock()

    def store(self, event: evt.Event) -> int:
        with self._lock:
            uid = event.request.AffectedSOPInstanceUID
            if self.abort_after is not None and len(self.order) >= self.abort_after:
                self.abort_after = None
                event.assoc.abort()
                return 0xC000
            self.order.append(uid)
            self.bytes[uid] = event.request.DataSet.getvalue()
            return self.statuses.pop(0) if self.statuses else 0x0000


@pytest.fixture
def scp() -> Scp:
    return Scp()


@pytest.fixture
def destination(scp: Scp) -> Iterator[Destination]:
    ae = AE("SCP")
    ae.add_supported_context(CTImageStorage, [ExplicitVRLittleEndian])
    ae.add_supported_context(MRImageStorage, [ExplicitVRLittleEndian])
    server = ae.start_server(
        ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, scp.store)]
    )
    yield Destination("127.0.0.1", server.server_address[1], "SCP", "TEST")
    server.shutdown()


@pytest.fixture
def slices(tmp_path: Path) -> list[Outgoing]:
    return [one for path in ct_series(tmp_path / "ct", 6) if (one := read_outgoing(path))]


@pytest.fixture(autouse=True)
def own_journal(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("dicom_pipeline.cli.sent_journal.user_state_path", lambda _: tmp_path)


def sent(outgoing: list[Outgoing], destination: Destination, jobs: int = 1) -> list[Answer]:
    answers: list[Answer] = []
    send_files(outgoing, destination, jobs=jobs, answered=answers.append)
    return answers


@pytest.mark.service
def test_data_sets_arrive_byte_for_byte(scp, destination):
    path = Path(str(get_testdata_file("CT_small.dcm")))
    one = read_outgoing(path)
    assert one is not None
    assert [answer.status for answer in sent([one], destination)] == [0]
    data = path.read_bytes()
    received = scp.bytes[one.sop_uid]
    assert len(received) > len(data) - 1000
    assert data.endswith(received)


@pytest.mark.service
def test_an_object_goes_out_under_its_own_uid_whatever_group_0002_says(
    scp, destination, slices, tmp_path
):
    ds = dcmread(slices[0].path)
    ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    ds.save_as(tmp_path / "other.dcm", enforce_file_format=False)
    one = read_outgoing(tmp_path / "other.dcm")
    assert one is not None
    assert [answer.status for answer in sent([one], destination)] == [0]
    assert scp.order == [ds.SOPInstanceUID]


def test_the_directory_of_a_medium_is_no_object_to_send(tmp_path):
    path = Path(str(get_testdata_file("DICOMDIR", download=False)))
    assert read_outgoing(path) is None


@pytest.mark.service
def test_each_file_is_answered_once_over_several_associations(scp, destination, slices):
    answers = sent(slices, destination, jobs=3)
    assert sorted(scp.order) == sorted(one.sop_uid for one in slices)
    assert len(answers) == len(slices)
    assert all(answer.accepted for answer in answers)


@pytest.mark.service
def test_a_broken_association_is_replaced_and_nothing_is_left_out(scp, destination, slices):
    scp.abort_after = 2
    answers = sent(slices, destination)
    assert sorted(scp.order) == sorted(one.sop_uid for one in slices)
    assert [answer.status for answer in answers] == [0] * len(slices)


@pytest.mark.service
def test_what_the_other_side_does_not_accept_is_said_and_the_rest_is_sent(scp, destination, slices):
    foreign = slices[0]._replace(transfer_syntax_uid=str(JPEG2000Lossless))
    answers = sent([foreign, *slices[1:3]], destination)
    assert [answer.status for answer in answers] == [None, 0, 0]
    assert not answers[0].accepted


@pytest.mark.service
def test_warnings_are_acceptance_and_failures_are_not(scp, destination, slices):
    scp.statuses = [0xB000, 0xA700]
    assert [answer.accepted for answer in sent(slices[:3], destination)] == [True, False, True]


@pytest.mark.service
def test_a_second_call_sends_only_what_was_not_acknowledged(scp, destination, slices, capsys):
    folder = slices[0].path.parent
    scp.statuses = [0, 0xA700]
    assert run_send([folder], destination, jobs=1, again=False) == 1
    assert len(scp.order) == 6
    assert run_send([folder], destination, jobs=1, again=False) == 0
    assert len(scp.order) == 7
    assert scp.order[6] == scp.order[1]
    assert run_send([folder], destination, jobs=1, again=True) == 0
    assert len(scp.order) == 13


def test_without_a_listener_the_error_says_where(slices):
    nobody = Destination("127.0.0.1", free_port("127.0.0.1"), "SCP", "TEST")
    with pytest.raises(TransientError, match="is a receiver listening there"):
        sent(slices, nobody)


def test_an_association_never_gets_more_contexts_than_the_standard_has_ids_for():
    outgoing = [
        Outgoing(Path(str(number)), generate_uid(), "1.2", "1.2.840.10008.1.2")
        for number in range(300)
    ]
    cut = batches(outgoing, jobs=2)
    assert max(len({one.context for one in batch}) for batch in cut) <= sending.MAX_CONTEXTS
    assert sorted(str(one.path) for batch in cut for one in batch) == sorted(
        str(one.path) for one in outgoing
    )


def test_files_that_are_no_dicom_files_are_left_out(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "text.dcm").write_text("hello" * 100)
    (tmp_path / "broken.dcm").write_bytes(bytes(128) + b"DICM" + b"\x02\x00\xff")
    assert [read_outgoing(path) for path in find_files([tmp_path])] == [None, None, None]


def test_a_path_that_does_not_exist_is_a_usage_error(tmp_path):
    with pytest.raises(ConfigurationError, match="no such file"):
        list(find_files([tmp_path / "nowhere"]))


def test_the_destination_is_the_receiver_of_this_home_unless_said_otherwise(tmp_path):
    (tmp_path / "receiver.json").write_text(
        '{"pid": 1, "host": "127.0.0.1", "port": 4711, "ae_title": "HERE"}'
    )
    settings = Settings(dicom_pipeline_home=tmp_path)
    here = Destination.of(settings, host="", port=0, called="", calling="ME")
    assert here == Destination("127.0.0.1", 4711, "HERE", "ME")
    there = Destination.of(settings, host="pacs", port=104, called="PACS", calling="ME")
    assert there == Destination("pacs", 104, "PACS", "ME")
