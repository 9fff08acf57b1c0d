"""Connections that wait, without a port: who leaves must not take another's place along."""

import os
import select
import socket
import time
from contextlib import ExitStack

import pytest

from receiver.greeting import GoneError
from receiver.waiting_room import WaitingRoom

SECONDS = 20


class Greeting:
    """A connection; ``proceed`` is what a test says."""

    def __init__(self, connection, proceed):
        self.connection, self.proceed = connection, proceed
        self.deadline = time.monotonic() + SECONDS

    def close(self):
        self.connection.close()


class Named(socket.socket):
    """A socket with the address that a log line names."""

    client_address = ("192.0.2.1", 104)

    def __init__(self, plain):
        super().__init__(fileno=plain.detach())


@pytest.fixture
def pair():
    with ExitStack() as stack:

        def connected():
            ours, theirs = socket.socketpair()
            return stack.enter_context(ours), stack.enter_context(theirs)

        yield connected


def test_a_descriptor_that_was_closed_on_the_way_may_be_another_guests_by_now(pair):
    """As when TLS cannot begin because the peer has reset the connection."""
    completed = []
    (first, first_peer), (second, second_peer) = pair(), pair()
    with select.epoll() as epoll:
        room = WaitingRoom(epoll, 2, completed.append, lambda *_: None)

        def lose():
            descriptor = named.detach()
            newcomer = socket.socket(fileno=os.dup2(second.fileno(), descriptor))
            second.close()
            room.enter(Greeting(newcomer, lambda: None))
            raise GoneError

        named = Named(first)
        room.enter(Greeting(named, lose))
        first_peer.send(b"x")
        deadline = time.monotonic() + SECONDS
        while not completed and time.monotonic() < deadline:
            for descriptor, _ in epoll.poll(0.1):
                room.ready(descriptor)
            if len(room) == 1:
                second_peer.send(b"x")
        assert len(completed) == 1, "the newcomer's bytes are waited for"
        room.close()
        completed[0].close()
