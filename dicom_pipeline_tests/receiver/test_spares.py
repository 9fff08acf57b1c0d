"""Empty files that lie ready, so that an object need not wait for its entry to be durable."""

import errno
import os
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_pipeline.storage import SPARE
from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.receiver.objects import (
    SENDER,
    FakeOutbox,
    make_dataset,
    receiving_into,
    request_for,
    unfinished,
)
from receiver.incoming import ObjectBuffer
from receiver.object_file import BLOCK
from receiver.outbox import OutboxError
from receiver.recovery import recover
from receiver.spares import Spares, clear
from receiver.statuses import Status


@contextmanager
def spares_in(folder, count=8):
    spares = Spares(folder, count)
    try:
        yield spares
    finally:
        spares.stop()


def lying_in(folder):
    return list(folder.glob(f"*{SPARE}"))


def taken_from(spares):
    taken = []
    wait_until(lambda: taken.append(spares.take()) or taken[-1])
    return Path(taken[-1])


def test_a_spare_is_an_empty_file_that_nobody_else_gets(tmp_path):
    with spares_in(tmp_path) as spares:
        taken = [taken_from(spares) for _ in range(20)]
        assert len(set(taken)) == 20
        assert {path.parent for path in taken} == {tmp_path}
        assert all(path.stat().st_size == 0 for path in taken)


def test_as_many_as_wanted_lie_ready_again_and_those_left_are_removed_at_the_end(tmp_path):
    with spares_in(tmp_path) as spares:
        for _ in range(8):
            taken_from(spares).unlink()
        wait_until(lambda: 4 < len(lying_in(tmp_path)) <= 8)
    assert list(tmp_path.iterdir()) == []


def test_the_folder_is_synced_before_a_spare_is_given(tmp_path, monkeypatch):
    synced = []

    def sync(descriptor):
        synced.append({path.name for path in lying_in(tmp_path)})
        assert Path(f"/proc/self/fd/{descriptor}").readlink() == tmp_path

    monkeypatch.setattr(os, "fsync", sync)
    with spares_in(tmp_path) as spares:
        for _ in range(20):
            name = taken_from(spares).name
            assert any(name in names for names in synced)


def test_a_disk_that_takes_no_files_leaves_none_and_is_tried_again(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(os, "fsync", fail)
        spares = Spares(tmp_path, 8)
        assert [spares.take() for _ in range(100)] == [None] * 100
        wait_until(lambda: not lying_in(tmp_path))
    taken_from(spares)
    spares.stop()


def test_what_a_dead_receiver_has_left_empty_is_removed(tmp_path):
    (tmp_path / f"used{SPARE}").write_bytes(b"x")
    (tmp_path / f"unused{SPARE}").touch()
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [f"used{SPARE}"]


@pytest.mark.parametrize("spare", [True, False])
def test_without_a_spare_the_folder_is_synced_for_the_object(tmp_path, spare, monkeypatch):
    receiving = receiving_into(tmp_path, FakeOutbox())
    given, syncs = [], []
    if spare:
        given.append(str(taken_from(receiving.incoming.spares)))
    monkeypatch.setattr(receiving.incoming.spares, "take", lambda: given.pop() if given else None)
    monkeypatch.setattr(receiving.incoming, "sync", lambda: syncs.append(1))
    assert receiving.receive(SENDER, request_for(make_dataset())) is Status.SUCCESS
    assert len(syncs) == (0 if spare else 1)
    receiving.stop()


def test_a_spare_that_somebody_has_removed_is_done_without(tmp_path, monkeypatch):
    receiving = receiving_into(tmp_path, FakeOutbox())
    gone, syncs = [str(receiving.incoming.path / "gone.spare")], []
    monkeypatch.setattr(receiving.incoming.spares, "take", lambda: gone.pop() if gone else None)
    monkeypatch.setattr(receiving.incoming, "sync", lambda: syncs.append(1))
    assert receiving.receive(SENDER, request_for(make_dataset())) is Status.SUCCESS
    assert syncs == [1]
    receiving.stop()
    assert receiving.incoming.in_flight() == frozenset()


def test_an_object_that_could_not_be_finished_is_recovered_from_its_spare_file(tmp_path):
    full = FakeOutbox()
    full.failure = OutboxError("full")
    receiving = receiving_into(tmp_path, full)
    spares = [str(taken_from(receiving.incoming.spares))]
    receiving.incoming.spares.take = lambda: spares.pop() if spares else None
    receiving.receive(SENDER, request_for(make_dataset()))
    assert [path.suffix for path in unfinished(receiving.incoming.path)] == [SPARE]
    outbox = FakeOutbox()
    folder = receiving.incoming
    assert recover(tmp_path, folder.path, outbox, folder.in_flight).finished == 1
    assert lying_in(folder.path), "the empty ones are the next objects'"
    assert len(outbox.events) == 1
    receiving.stop()


def test_an_object_that_began_before_the_stop_and_ends_after_it_is_refused(tmp_path, monkeypatch):
    receiving = receiving_into(tmp_path, FakeOutbox())
    spare = str(taken_from(receiving.incoming.spares))
    monkeypatch.setattr(receiving.incoming.spares, "take", lambda: spare)
    sent = request_for(make_dataset(PixelData=bytes(20_000)))
    reception = receiving.begin(SENDER, sent.request, ObjectBuffer(2 * BLOCK))
    reception.append(memoryview(sent.data_set))
    assert len(unfinished(receiving.incoming.path)) == 1
    receiving.stop()
    assert reception.finish() is Status.OUT_OF_RESOURCES
    assert unfinished(receiving.incoming.path) == []


def test_a_spare_file_that_cannot_be_opened_is_removed_and_the_object_refused(
    tmp_path, monkeypatch
):
    def refuse(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    receiving = receiving_into(tmp_path, FakeOutbox())
    spare = taken_from(receiving.incoming.spares)
    monkeypatch.setattr(receiving.incoming.spares, "take", lambda: str(spare))
    with monkeypatch.context() as full:
        full.setattr(os, "open", refuse)
        assert receiving.receive(SENDER, request_for(make_dataset())) is Status.OUT_OF_RESOURCES
    assert receiving.incoming.in_flight() == frozenset()
    receiving.stop()
    assert list(receiving.incoming.path.iterdir()) == []


def test_an_object_whose_file_somebody_has_removed_is_not_acknowledged(tmp_path, monkeypatch):
    receiving = receiving_into(tmp_path, FakeOutbox())
    real = os.fsync

    def remove_and_sync(descriptor):
        for path in unfinished(receiving.incoming.path):
            path.unlink()
        real(descriptor)

    with monkeypatch.context() as foreign:
        foreign.setattr(os, "fsync", remove_and_sync)
        assert receiving.receive(SENDER, request_for(make_dataset())) is Status.OUT_OF_RESOURCES
    assert receiving.outbox.events == []
    receiving.stop()


def test_what_cannot_be_removed_now_stays(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    unused = tmp_path / f"unused{SPARE}"
    unused.touch()
    with monkeypatch.context() as read_only:
        read_only.setattr(Path, "unlink", refuse)
        clear(tmp_path)
    assert unused.exists()
    clear(tmp_path)
    assert not unused.exists()
