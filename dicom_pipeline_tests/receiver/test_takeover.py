"""What we rely on in pynetdicom, as far as it can be seen without a network."""

import socket
from types import SimpleNamespace

import pynetdicom
import pytest
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RJ

from receiver import takeover
from receiver.connection import Connection


class Service:
    """Stands for pynetdicom's upper-layer thread."""

    def __init__(self, connection, *, lives=False):
        self.socket = SimpleNamespace(socket=connection)
        self.lives, self.joined, self.killed = lives, False, False

    def join(self, seconds):
        self.joined = True

    def is_alive(self):
        return self.lives

    def kill_dul(self):
        self.killed = True


@pytest.fixture
def connection():
    near, far = socket.socketpair()
    with far, Connection(fileno=near.detach()) as connection:
        yield connection


def association(service):
    return SimpleNamespace(dul=service)


def test_the_upper_layer_thread_leaves_after_the_acceptance_and_not_before():
    for pdu, leaves in ((A_ASSOCIATE_RJ(), False), (A_ASSOCIATE_AC(), True)):
        service = Service(None)
        takeover.leave_after_acceptance(SimpleNamespace(pdu=pdu, assoc=association(service)))
        assert service.killed is leaves


def test_the_connection_is_taken_once_its_thread_has_ended(connection):
    connection.begin(("127.0.0.1", 1), deadline=0, network_timeout=20)
    service = Service(connection)
    assert takeover.take(association(service)) is connection
    assert service.joined
    assert connection.gettimeout() == 20, "its deadline is lifted"


def test_no_connection_is_taken_from_a_thread_that_lives(connection):
    with pytest.raises(takeover.TakeoverError):
        takeover.take(association(Service(connection, lives=True)))


def test_a_connection_that_is_closed_already_cannot_be_taken():
    with pytest.raises(takeover.TakeoverError):
        takeover.take(association(Service(None)))


@pytest.mark.parametrize("version", ["3.0.5", "4.0.0", "3.0.3"])
def test_other_versions_keep_their_own_loop(monkeypatch, caplog, version):
    assert takeover.possible(), "the pinned one was tried"
    monkeypatch.setattr(pynetdicom, "__version__", version)
    assert not takeover.possible()
    assert version in caplog.text
