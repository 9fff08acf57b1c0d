"""What reaches the port before there is an association: silence, parts, garbage, floods."""

import fcntl
import logging
import socket
import struct
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dicom_pipeline_tests.receiver.listening import (
    association_request,
    connected,
    echo,
    listening,
    receive,
    until_closed,
    wait_until,
)

pytestmark = pytest.mark.service

SOON = 0.3
ABORT = b"\x07\x00\x00\x00\x00\x04\x00\x00\x02"
"""An A-ABORT of the service provider, up to its reason."""


VERSION, CONTEXT_ID = 7, 103
"""Places in the request."""


def patched_request(place, value):
    request = bytearray(association_request())
    request[place] = value
    return bytes(request)


@pytest.fixture(scope="module")
def scp():
    with listening() as scp:
        yield scp


def high(connection):
    """The same connection above the descriptors that pynetdicom's requestor can wait for."""
    descriptor = fcntl.fcntl(connection.fileno(), fcntl.F_DUPFD_CLOEXEC, 1024)
    connection.close()
    return socket.socket(fileno=descriptor)


def open_descriptors():
    return set(Path("/proc/self/fd").iterdir())


def test_an_association_is_made_over_a_connection_and_knows_its_client():
    with listening() as scp:
        assert echo(scp) == 0
        ((client, certificate, address),) = scp.connections
    assert (client[0], certificate, address) == ("127.0.0.1", None, "127.0.0.1")
    assert client[1] > 0


def test_a_thousand_silent_connections_cost_no_thread_and_hardly_time_and_hinder_nobody():
    with listening() as scp, ExitStack() as stack:
        assert echo(scp) == 0  # starts what is started once
        wait_until(lambda: not scp.listener.active_associations)
        threads = threading.active_count()
        for _ in range(1000):
            stack.enter_context(high(socket.create_connection((scp.host, scp.port))))
        assert echo(scp) == 0
        wait_until(lambda: not scp.listener.active_associations)
        assert threading.active_count() <= threads
        spent = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - spent < 0.1
        assert echo(scp) == 0
        assert scp.refused == []


def test_one_more_connection_than_may_wait_is_closed_at_once_and_told_once_a_second(caplog):
    with listening(receiver_max_connections=3) as scp, ExitStack() as stack:
        waiting = [stack.enter_context(connected(scp)) for _ in range(3)]
        for _ in range(20):
            with connected(scp) as further:
                assert until_closed(further) == b""
        wait_until(lambda: len(scp.refused) == 20)
        assert set(scp.refused) == {"too_many_connections"}
        (line,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
        assert line.getMessage() == "connection refused: RECEIVER_MAX_CONNECTIONS are there"
        waiting[0].sendall(association_request())
        assert receive(waiting[0], 1) == b"\x02", "those that wait are served"
        assert echo(scp) == 0, "and have left their place"


@pytest.mark.parametrize("size", [0, 1, 6, 7, -1])
def test_who_has_not_asked_by_the_deadline_is_closed(size):
    with listening(receiver_request_timeout_seconds=SOON) as scp, connected(scp) as connection:
        threads = threading.active_count()
        started = time.monotonic()
        request = association_request()
        connection.sendall(request[: size if size >= 0 else len(request) - 1])
        assert scp.listener.active_associations == []
        assert until_closed(connection) == b""
        assert SOON * 0.8 < time.monotonic() - started < SOON + 1
        wait_until(lambda: scp.refused)
        assert scp.refused == ["request_timeout"]
        assert threading.active_count() <= threads + 4, "workers, none of which waits"


def test_once_there_is_an_association_its_request_has_no_deadline_any_more():
    options = {"receiver_request_timeout_seconds": SOON, "receiver_network_timeout_seconds": 20}
    with listening(**options) as scp, connected(scp) as connection:
        connection.sendall(association_request())
        length = int.from_bytes(receive(connection, 6)[2:])
        receive(connection, length)
        time.sleep(SOON * 1.5)
        connection.sendall(struct.pack(">BxL", 0x05, 4))  # a release in two parts
        time.sleep(0.05)
        connection.sendall(bytes(4))
        assert receive(connection, 1) == b"\x06"


def test_long_requests_take_turns_so_that_they_cannot_fill_the_memory():
    head = struct.pack(">BxL", 0x01, 1_000_000)
    with listening() as scp, ExitStack() as stack:
        for _ in range(40):
            stack.enter_context(connected(scp)).sendall(head + bytes(60_000))
        wait_until(lambda: len(scp.refused) == 8)
        assert set(scp.refused) == {"too_many_connections"}
        assert echo(scp) == 0
    with listening() as scp, connected(scp) as connection:
        connection.sendall(head + bytes(1_000_000))
        wait_until(lambda: scp.refused)
        assert scp.refused == ["invalid_request"], "the places are free again"


def test_trickling_bytes_do_not_move_the_deadline():
    with listening(receiver_request_timeout_seconds=SOON) as scp, connected(scp) as connection:
        started = time.monotonic()
        with pytest.raises(ConnectionError):  # noqa: PT012 - until the other side is gone
            for byte in association_request():
                connection.sendall(bytes([byte]))
                time.sleep(0.02)
        assert time.monotonic() - started < SOON + 1
        assert scp.refused == ["request_timeout"]


def test_a_request_in_many_parts_is_as_good_as_in_one():
    with listening() as scp, connected(scp) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        request = association_request()
        for start in range(0, len(request), 40):
            connection.sendall(request[start : start + 40])
            time.sleep(0.005)
        assert receive(connection, 1) == b"\x02"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", 1),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n", 1),
        (struct.pack(">BxL", 0x04, 6) + bytes(6), 2),
        (struct.pack(">BxL", 0x05, 4) + bytes(4), 2),
        (struct.pack(">BxL", 0x01, 0xFFFFFFFF), 6),
        (struct.pack(">BxL", 0x01, 1 << 20), 6),
        (struct.pack(">BxL", 0x01, 0), 6),
        (struct.pack(">BxL", 0x01, 200) + b"\xff" * 200, 6),
        (patched_request(CONTEXT_ID, 2), 6),
    ],
)
def test_what_is_no_association_request_is_aborted_at_once(data, reason):
    with listening() as scp, connected(scp) as connection:
        connection.sendall(data)
        assert until_closed(connection) == ABORT + bytes([reason])
        wait_until(lambda: scp.refused)
        assert scp.refused == ["invalid_request"]
        assert scp.listener.active_associations == []


@pytest.mark.parametrize(("version", "answer"), [(1, 2), (3, 2), (0, 3), (2, 3)])
def test_only_bit_0_of_the_protocol_version_counts(version, answer):
    with listening() as scp, connected(scp) as connection:
        connection.sendall(patched_request(VERSION, version))
        received = receive(connection, 6)
        assert received[0] == answer
        if answer == 3:
            assert until_closed(connection) == bytes([0, 1, 2, 2])
            assert scp.listener.active_associations == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(6, 241), st.integers(0, 255)), max_size=3))
def test_no_request_keeps_a_thread_whatever_is_in_it(scp, changes):
    request = bytearray(association_request())
    for place, value in changes:
        request[place] = value
    with connected(scp) as connection:
        connection.sendall(request)
        assert connection.recv(1), "some answer"
    wait_until(lambda: not scp.listener.active_associations)


def test_a_health_probe_is_not_worth_a_line(caplog):
    with caplog.at_level(logging.INFO), listening() as scp:
        for linger in (struct.pack("ii", 0, 0), struct.pack("ii", 1, 0)):
            for _ in range(10):
                with connected(scp) as connection:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        assert echo(scp) == 0
    assert [each for each in caplog.records if each.name.startswith("receiver")] == []
    assert scp.refused == []


def test_a_reset_in_the_middle_of_an_association_leaves_no_descriptor_open():
    with listening() as scp:
        assert echo(scp) == 0
        wait_until(lambda: not scp.listener.active_associations)
        before = open_descriptors()
        for _ in range(5):
            with connected(scp) as connection:
                connection.sendall(association_request())
                assert receive(connection, 1) == b"\x02"
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wait_until(lambda: not scp.listener.active_associations)
        wait_until(lambda: open_descriptors() <= before)


def test_shutdown_closes_the_port_and_those_that_wait():
    with listening() as scp, connected(scp) as connection, connected(scp) as half:
        half.sendall(association_request()[:50])
        time.sleep(0.05)
        scp.listener.shutdown()
        assert until_closed(connection) == until_closed(half) == b""
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((scp.host, scp.port))
        scp.listener.shutdown()


def test_associations_outlive_the_listener():
    with listening() as scp, connected(scp) as connection:
        connection.sendall(association_request())
        receive(connection, 6)
        scp.listener.shutdown()
        assert len(scp.listener.active_associations) == 1


def test_hosts_of_ipv6_are_served():
    with listening(receiver_host="::1") as scp:
        assert echo(scp) == 0
        assert scp.connections[0][0][0] == "::1"


def test_a_sender_of_ipv4_has_an_address_of_ipv4_on_a_port_for_both():
    with listening(receiver_host="::") as scp:
        scp.host = "127.0.0.1"
        assert echo(scp) == 0
        assert scp.connections[0][0][0] == "127.0.0.1"


def test_a_port_that_is_taken_is_told():
    with listening() as scp, pytest.raises(OSError, match="in use"):
        listening(receiver_port=scp.port).__enter__()


def test_a_moment_without_threads_does_not_close_the_port(monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    with listening(receiver_request_timeout_seconds=1) as scp:
        with monkeypatch.context() as without_threads:
            without_threads.setattr(threading.Thread, "start", refuse)
            with connected(scp) as connection:
                connection.sendall(b"x")
                time.sleep(SOON)
        assert scp.listener.alive()
        assert echo(scp) == 0
