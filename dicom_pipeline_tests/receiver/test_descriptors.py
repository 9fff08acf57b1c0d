import fcntl
import logging
import resource
import socket

import pytest

from receiver.descriptors import capacity, parked


@pytest.fixture
def limits(monkeypatch):
    """Pretend that the process may have so many files open, now and at the most."""

    def limits(*now):
        limit = list(now)
        monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limit))
        monkeypatch.setattr(resource, "setrlimit", lambda _, new: limit.__setitem__(0, new[0]))
        return limit

    return limits


def test_the_limit_of_open_files_is_raised_as_far_as_is_needed(limits):
    limit = limits(1024, 1 << 20)
    assert capacity(2000) == 2000
    assert 3000 < limit[0] < 5000


@pytest.mark.parametrize(
    ("now", "wanted", "possible"),
    [
        ((1024, 1024), 1024, 512),
        ((256, 256), 1024, 64),
        ((4096, 4096), 1024, 1024),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), 10**6, 10**6),
        ((1024, resource.RLIM_INFINITY), 10**6, 10**6),
    ],
)
def test_no_more_wait_than_there_are_descriptors_for(limits, caplog, now, wanted, possible):
    limits(*now)
    with caplog.at_level(logging.WARNING):
        assert capacity(wanted) == possible
    assert ("ulimit" in caplog.text) is (possible < wanted)


def test_a_connection_leaves_the_low_descriptors_to_those_who_need_them(monkeypatch):
    ours, theirs = socket.socketpair()
    with theirs, socket.socket(fileno=parked(ours)) as connection:
        assert connection.fileno() >= 1024
        connection.sendall(b"x")
        assert theirs.recv(1) == b"x"

    def refuse(*_):
        raise OSError

    monkeypatch.setattr(fcntl, "fcntl", refuse)
    ours, theirs = socket.socketpair()
    low = ours.fileno()
    with theirs, socket.socket(fileno=parked(ours)) as connection:
        assert connection.fileno() == low
