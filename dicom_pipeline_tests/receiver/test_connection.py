"""The socket that pynetdicom gets, on its own."""

import select
import socket
import struct
import threading
import time

import pytest

from receiver.connection import MAX_REQUEST_BYTES, Connection


@pytest.fixture
def pair():
    """A connection that waits for its request, for 20 s, and its sender."""
    ours, sender = socket.socketpair()
    connection = Connection(fileno=ours.detach())
    connection.begin(("10.0.0.1", 1), deadline=time.monotonic() + 20, network_timeout=0.05)
    connection.hand_over(b"ahead")
    with sender, connection:
        yield connection, sender


def test_what_was_read_ahead_comes_first_and_is_known_to_be_there(pair):
    connection, sender = pair
    sender.sendall(b" behind")
    assert connection.pending() == 5
    assert connection.recv(3) + connection.recv(10) + connection.recv(10) == b"ahead behind"
    assert connection.pending() == 0


def test_the_deadline_is_that_of_all_reads_together(pair):
    connection, sender = pair
    connection.recv(5)
    connection.begin(("10.0.0.1", 1), deadline=time.monotonic() + 0.2, network_timeout=9)
    started = time.monotonic()
    with pytest.raises(TimeoutError):  # noqa: PT012 - the byte that comes too late
        while True:
            sender.sendall(b"x")
            connection.recv(100)
            time.sleep(0.02)
    assert time.monotonic() - started < 1


def test_silence_ends_at_the_deadline(pair):
    connection, _ = pair
    connection.recv(5)
    connection.begin(("10.0.0.1", 1), deadline=time.monotonic() + 0.05, network_timeout=9)
    with pytest.raises(TimeoutError):
        connection.recv(1)


def test_no_more_is_read_than_a_request_can_have_until_the_association_stands(pair):
    connection, sender = pair
    writer = threading.Thread(target=sender.sendall, args=(bytes(MAX_REQUEST_BYTES + 1),))
    writer.start()
    with pytest.raises(ConnectionAbortedError):  # noqa: PT012 - at some read
        while select.select([connection], [], [], 20):
            connection.recv(1 << 16)
    connection.established()
    assert connection.recv(2) == b"\0"
    writer.join()


def test_once_established_each_read_has_its_own_timeout(pair):
    connection, sender = pair
    connection.recv(5)
    connection.established()
    sender.sendall(b"x")
    assert connection.recv(4096) == b"x"
    with pytest.raises(TimeoutError):
        connection.recv(1)


def test_to_shut_down_what_the_peer_has_reset_is_no_error():
    with socket.create_server(("127.0.0.1", 0)) as server:
        sender = socket.create_connection(server.getsockname())
        connection = Connection(fileno=server.accept()[0].detach())
    with connection:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sender.close()
        connection.shutdown(socket.SHUT_RDWR)
        connection.shutdown(socket.SHUT_RDWR)
    connection.shutdown(socket.SHUT_RDWR)


def test_a_peer_that_reads_ever_so_little_is_not_written_to_for_ever():
    with socket.create_server(("127.0.0.1", 0)) as port:
        sender = socket.create_connection(port.getsockname())
        connection = Connection(fileno=port.accept()[0].detach())
    connection.begin(("127.0.0.1", 1), deadline=time.monotonic() + 20, network_timeout=0.3)
    connection.established()
    ended = threading.Event()

    def read_slowly():
        while not ended.wait(0.02):
            sender.recv(1 << 15)

    reader = threading.Thread(target=read_slowly)
    with sender, connection:
        sender.sendall(b"x")
        connection.receive(memoryview(bytearray(1)), 0.3, fill=False)
        reader.start()
        started = time.monotonic()
        try:
            with pytest.raises(TimeoutError):
                connection.sendall(bytes(1 << 24))
        finally:
            ended.set()
            reader.join()
    assert time.monotonic() - started < 3
