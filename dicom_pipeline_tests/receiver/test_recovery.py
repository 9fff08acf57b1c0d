import os
from pathlib import Path

import pytest

from dicom_pipeline.errors import TransientError
from dicom_pipeline_tests.receiver.objects import (
    SENDER,
    FakeOutbox,
    make_dataset,
    receiving_into,
    request_for,
    unfinished,
)
from receiver.outbox import OutboxError
from receiver.recovery import recover
from receiver.statuses import Status


class Killed(BaseException):
    """The process ends here: no handler of the code under test may run on."""


@pytest.fixture
def outbox():
    return FakeOutbox()


@pytest.fixture
def receiving(tmp_path, outbox):
    return receiving_into(tmp_path, outbox)


def killed(*_args, **_options):
    raise Killed


def crash_in(monkeypatch, receiving, request, target):
    """Receive, with the process killed when it comes to ``target``."""
    with monkeypatch.context() as patch:
        patch.setattr(target, killed)
        with pytest.raises(Killed):
            receiving.receive(SENDER, request)


STEPS = {
    "before the name is linked": "os.link",
    "after the link, before its folder is synced": "receiver.placement.sync_directory",
    "before the event": "dicom_pipeline_tests.receiver.objects.FakeOutbox.add",
    "before it leaves incoming": "os.unlink",
}


@pytest.mark.parametrize("target", STEPS.values(), ids=STEPS.keys())
def test_a_crash_behind_the_write_ends_in_one_file_and_its_event(
    tmp_path, receiving, outbox, monkeypatch, target
):
    receiving.receive(SENDER, request_for(make_dataset()))  # makes the folders
    outbox.events.clear()
    request = request_for(make_dataset())
    crash_in(monkeypatch, receiving, request, target)
    before = {event.trace_id for event in outbox.events}
    recover(tmp_path, receiving.incoming.path, outbox)
    recover(tmp_path, receiving.incoming.path, outbox)
    assert len({event.trace_id for event in outbox.events}) == 1
    assert before <= {event.trace_id for event in outbox.events}
    event = outbox.events[-1]
    assert event.duplicate_of is None
    assert (tmp_path / event.file_path).read_bytes().endswith(request.data_set)
    assert (tmp_path / event.file_path).stat().st_nlink == 1
    assert unfinished(receiving.incoming.path) == []


def test_a_recovered_event_is_the_one_that_was_lost(tmp_path, receiving, outbox, monkeypatch):
    request = request_for(make_dataset())
    crash_in(monkeypatch, receiving, request, STEPS["before it leaves incoming"])
    recover(tmp_path, receiving.incoming.path, outbox)
    lost, recovered = outbox.events
    assert recovered == lost


@pytest.mark.parametrize("suffix", [".dcm", ".spare"])
@pytest.mark.parametrize("length", [0, 100, 200, 700, -1])
def test_an_incomplete_file_is_removed_for_it_was_never_acknowledged(
    tmp_path, receiving, outbox, monkeypatch, length, suffix
):
    crash_in(monkeypatch, receiving, request_for(make_dataset()), "os.link")
    (path,) = unfinished(receiving.incoming.path)
    path = path.rename(path.with_suffix(suffix))
    os.truncate(path, length % path.stat().st_size)
    an_object = length != 0 or suffix == ".dcm"  # an empty spare file is none, and goes untold
    assert recover(tmp_path, receiving.incoming.path, outbox).removed == an_object
    assert not path.exists()
    assert outbox.events == []


def test_a_file_with_other_bytes_than_its_digest_is_removed(
    tmp_path, receiving, outbox, monkeypatch
):
    crash_in(monkeypatch, receiving, request_for(make_dataset()), "os.link")
    (path,) = unfinished(receiving.incoming.path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert recover(tmp_path, receiving.incoming.path, outbox).removed == 1
    assert outbox.events == []


def test_a_resend_between_crash_and_recovery_keeps_one_file(
    tmp_path, receiving, outbox, monkeypatch
):
    request = request_for(make_dataset())
    crash_in(monkeypatch, receiving, request, STEPS["before the event"])
    assert receiving.receive(SENDER, request) is Status.SUCCESS
    recover(tmp_path, receiving.incoming.path, outbox)
    assert {event.duplicate_of for event in outbox.events} == {None}
    assert len({event.file_path for event in outbox.events}) == 1
    assert len(list(Path(tmp_path / "default").rglob("*.dcm"))) == 1


def test_other_bytes_between_crash_and_recovery_give_the_first_no_second_name(
    tmp_path, receiving, outbox, monkeypatch
):
    first, other = (
        request_for(make_dataset(SOPInstanceUID="1.2.3.8", PixelData=pixels))
        for pixels in (b"aa", b"bb")
    )
    crash_in(monkeypatch, receiving, first, STEPS["before the event"])
    receiving.receive(SENDER, other)
    recover(tmp_path, receiving.incoming.path, outbox)
    late, recovered = outbox.events
    assert recovered.file_name == "1.2.3.8.dcm"
    assert recovered.version < late.version
    assert len(list(Path(tmp_path / "default").rglob("*.dcm"))) == 2


def test_what_is_being_received_is_left_alone(tmp_path, receiving, outbox, monkeypatch):
    crash_in(monkeypatch, receiving, request_for(make_dataset()), "os.link")
    (path,) = unfinished(receiving.incoming.path)
    recover(tmp_path, receiving.incoming.path, outbox, lambda: {path.name})
    assert path.exists()
    assert outbox.events == []


def test_a_receipt_is_in_flight_while_its_file_lies_in_incoming(tmp_path):
    class Outbox(FakeOutbox):
        def add(self, events):
            folder = receiving.incoming
            assert {path.name for path in unfinished(folder.path)} == folder.in_flight()

    receiving = receiving_into(tmp_path, Outbox())
    assert receiving.receive(SENDER, request_for(make_dataset())) is Status.SUCCESS
    assert receiving.incoming.in_flight() == frozenset()


def test_while_the_outbox_fails_files_wait_for_the_next_pass(
    tmp_path, receiving, outbox, monkeypatch
):
    crash_in(monkeypatch, receiving, request_for(make_dataset()), "os.link")
    outbox.failure = TransientError("full")
    assert recover(tmp_path, receiving.incoming.path, outbox).left == 1
    outbox.failure = None
    assert recover(tmp_path, receiving.incoming.path, outbox).finished == 1
    assert len(outbox.events) == 1


def test_an_outbox_that_takes_nothing_is_not_asked_about_every_file(tmp_path, receiving, outbox):
    """Each time may take a minute, and the receiver does not listen before its first pass."""
    asked = []

    class Outbox(FakeOutbox):
        def add(self, events):
            asked.append(events)
            raise OutboxError("no commit in 60 s")

    outbox.failure = TransientError("full")
    for _ in range(10):
        receiving.receive(SENDER, request_for(make_dataset()))
    assert recover(tmp_path, receiving.incoming.path, Outbox()) == (0, 0, 10)
    assert len(asked) == 3
    assert recover(tmp_path, receiving.incoming.path, FakeOutbox()).finished == 10


def test_nothing_to_recover_is_no_error(tmp_path, outbox):
    assert recover(tmp_path, tmp_path / "missing", outbox) == (0, 0, 0)
