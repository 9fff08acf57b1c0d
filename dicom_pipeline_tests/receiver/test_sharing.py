"""One process accepts, several take what it has accepted, in turn."""

import errno
import os
import socket
import time
from contextlib import ExitStack, contextmanager

import pytest

from dicom_pipeline_tests.receiver.listening import SECONDS, echo, listening, wait_until
from receiver.sharing import Sharing, announce_ready, take


@contextmanager
def sharing_out():
    with socket.socket() as port:
        port.bind(("127.0.0.1", 0))
        sharing = Sharing(port)
        try:
            yield sharing, port.getsockname()
        finally:
            sharing.stop()


def ready_place(sharing):
    place = sharing.place()
    place.settimeout(SECONDS)
    announce_ready(place)
    time.sleep(0.1)  # it is heard
    return place


def test_places_take_connections_in_turn():
    with ExitStack() as stack:
        sharing, address = stack.enter_context(sharing_out())
        places = [stack.enter_context(ready_place(sharing)) for _ in range(2)]
        for _ in range(3):
            senders = [
                stack.enter_context(socket.create_connection(address)).getsockname() for _ in places
            ]
            taken = [take(place) for place in places]
            assert {from_ for _, from_ in taken} == set(senders)
            for connection, _ in taken:
                connection.close()


def test_nobody_can_connect_before_a_process_is_ready():
    with sharing_out() as (sharing, address), sharing.place():
        time.sleep(0.1)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


def test_a_place_whose_process_has_gone_is_left_out():
    with ExitStack() as stack:
        sharing, address = stack.enter_context(sharing_out())
        gone, place = ready_place(sharing), stack.enter_context(ready_place(sharing))
        gone.close()
        for _ in range(3):
            sender = stack.enter_context(socket.create_connection(address))
            connection, from_ = take(place)
            stack.enter_context(connection)
            assert from_ == sender.getsockname()


def test_while_the_last_process_is_replaced_connections_wait_for_the_next():
    with ExitStack() as stack:
        sharing, address = stack.enter_context(sharing_out())
        ready_place(sharing).close()
        senders = [stack.enter_context(socket.create_connection(address)) for _ in range(20)]
        place = stack.enter_context(ready_place(sharing))
        taken = [take(place) for _ in senders]
        assert [from_ for _, from_ in taken] == [sender.getsockname() for sender in senders]
        for connection, _ in taken:
            connection.close()


def test_what_a_process_does_not_take_waits_until_it_does():
    with ExitStack() as stack:
        sharing, address = stack.enter_context(sharing_out())
        place = stack.enter_context(ready_place(sharing))
        senders = [stack.enter_context(socket.create_connection(address)) for _ in range(350)]
        time.sleep(0.2)
        for sender in senders:  # more than a place holds
            connection, from_ = take(place)
            connection.close()
            assert from_ == sender.getsockname()


def test_without_room_for_a_descriptor_a_connection_stays_where_it_is(monkeypatch):
    def refuse(_):
        raise OSError(errno.EMFILE, "Too many open files")

    with ExitStack() as stack:
        sharing, address = stack.enter_context(sharing_out())
        place = stack.enter_context(ready_place(sharing))
        sender = stack.enter_context(socket.create_connection(address))
        with monkeypatch.context() as full:
            full.setattr(os, "dup", refuse)
            with pytest.raises(OSError, match="Too many"):
                take(place)
        connection, from_ = take(place)
        stack.enter_context(connection)
        assert from_ == sender.getsockname()


def test_a_place_says_that_nothing_comes_any_more():
    with sharing_out() as (sharing, _):
        place = ready_place(sharing)
    with place, pytest.raises(EOFError):
        take(place)


def test_nothing_now_is_told_from_nothing_any_more():
    with sharing_out() as (sharing, _), sharing.place() as place:
        place.setblocking(False)
        with pytest.raises(BlockingIOError):
            take(place)


def listening_at_a_place(sharing, address):
    place = sharing.place()
    place.setblocking(False)
    return listening(place=place, receiver_port=address[1])


def test_a_listener_serves_what_was_accepted_for_it_and_knows_its_sender():
    with ExitStack() as stack:
        sharing, address = stack.enter_context(sharing_out())
        scps = [stack.enter_context(listening_at_a_place(sharing, address)) for _ in range(2)]
        assert [scp.port for scp in scps] == [address[1]] * 2
        for _ in range(4):
            assert echo(scps[0]) == 0
        assert [len(scp.connections) for scp in scps] == [2, 2]
        assert {host for scp in scps for ((host, _), *_) in scp.connections} == {"127.0.0.1"}


def test_a_listener_ends_with_whoever_shares_out():
    with ExitStack() as stack:
        with sharing_out() as (sharing, address):
            scp = stack.enter_context(listening_at_a_place(sharing, address))
            assert scp.listener.alive()
        wait_until(lambda: not scp.listener.alive())
        scp.listener.shutdown()
