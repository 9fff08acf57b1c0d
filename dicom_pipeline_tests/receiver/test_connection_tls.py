"""A TLS connection whose reading half is ended by another thread, as the stop does."""

import socket
import ssl
import threading
import time
from contextlib import suppress

import pytest
import trustme

from receiver.connection import Connection, TlsConnection

SECONDS = 20


@pytest.fixture
def pair():
    """A connection after its handshake, and its sender."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("receiver").configure_cert(server)
    server.sslsocket_class = TlsConnection
    client = ssl.create_default_context()
    authority.configure_trust(client)
    ours, theirs = socket.socketpair()
    theirs.settimeout(SECONDS)
    made = []

    def shake_hands():
        plain = Connection(fileno=ours.detach())
        connection = server.wrap_socket(plain, server_side=True)
        connection.begin(("10.0.0.1", 1), deadline=time.monotonic() + 20, network_timeout=SECONDS)
        connection.established()
        made.append(connection)

    thread = threading.Thread(target=shake_hands)
    thread.start()
    with client.wrap_socket(theirs, server_hostname="receiver") as sender:
        thread.join(SECONDS)
        with made[0] as connection:
            yield connection, sender


def test_what_is_sent_after_the_end_of_reading_is_still_encrypted(pair):
    connection, sender = pair
    connection.shutdown(socket.SHUT_RD)
    connection.sendall(b"a report")
    assert sender.recv(100) == b"a report"


def test_what_came_before_the_end_of_reading_is_not_read_as_it_stands(pair):
    connection, sender = pair
    sender.sendall(b"an object")
    connection.shutdown(socket.SHUT_RD)
    buffer = memoryview(bytearray(1000))
    try:
        received = connection.receive(buffer, SECONDS, fill=False)
    except OSError:
        return
    assert bytes(buffer[:received]) in {b"an object", b""}


def test_a_waiting_reader_meets_the_end(pair):
    connection, _ = pair
    threading.Timer(0.1, connection.shutdown, (socket.SHUT_RD,)).start()
    began = time.monotonic()
    with suppress(ssl.SSLError):
        assert connection.receive(memoryview(bytearray(10)), SECONDS, fill=False) == 0
    assert time.monotonic() - began < SECONDS / 2
