"""One receiver per name on a storage root that several of them share."""

import errno
import fcntl
import logging
import os
import signal
from contextlib import closing

import pytest

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.receiver.running import process, run_to_exit
from receiver.locking import NodeInUseError, NodeLock
from receiver.server import Receiver


@pytest.fixture
def incoming(tmp_path):
    folder = tmp_path / "incoming" / "node"
    folder.mkdir(parents=True)
    return folder


def test_a_name_is_for_one_receiver_at_a_time(incoming):
    with (
        closing(NodeLock(incoming)),
        closing(NodeLock(incoming.with_name("other"))),
        pytest.raises(NodeInUseError, match="WORKER_NODE_ID"),
    ):
        NodeLock(incoming)
    NodeLock(incoming).close()


def test_the_lock_is_not_among_the_unfinished_objects(incoming):
    with closing(NodeLock(incoming)):
        assert list(incoming.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSPC])
def test_a_file_system_without_locks_or_room_for_one_is_a_warning(
    incoming, monkeypatch, caplog, number
):
    def refuse(*_):
        raise OSError(number, "refused")

    monkeypatch.setattr("fcntl.flock", refuse)
    with caplog.at_level(logging.WARNING), closing(NodeLock(incoming)):
        assert "WORKER_NODE_ID" in caplog.text


def test_where_a_lock_needs_the_right_to_write_it_is_taken_so(incoming, monkeypatch):
    flock = fcntl.flock

    def as_nfs_does(file, operation):
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(file, operation)

    monkeypatch.setattr("fcntl.flock", as_nfs_does)
    with closing(NodeLock(incoming)), pytest.raises(NodeInUseError):
        NodeLock(incoming)


@pytest.mark.service
def test_a_second_receiver_of_a_name_is_refused_though_its_home_is_another(tmp_path):
    storage = str(tmp_path / "storage")
    with process(tmp_path / "a", STORAGE_ROOT=storage) as first:
        second = run_to_exit(tmp_path / "b", STORAGE_ROOT=storage)
        assert second.returncode == 2
        assert "WORKER_NODE_ID" in second.stderr
        first.send_signal(signal.SIGKILL)
        first.wait(30)
        with process(tmp_path / "b", STORAGE_ROOT=storage):
            pass


def test_a_storage_without_hard_links_is_refused(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    settings = Settings(dicom_pipeline_home=tmp_path, receiver_port=0)
    with pytest.raises(ConfigurationError, match="hard links"):
        Receiver(settings).start()
