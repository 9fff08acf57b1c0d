"""Connections that come through a balancer, which tells by the PROXY protocol whose they are."""

import struct
import time

import pytest

from dicom_pipeline_tests.receiver.listening import (
    association_request,
    connected,
    listening,
    receive,
    until_closed,
    wait_until,
)

pytestmark = pytest.mark.service

SOON = 0.3
BALANCED = {"receiver_proxy_networks": ["127.0.0.0/8"]}
V2 = (
    b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x15"
    + bytes([10, 1, 2, 3, 127, 0, 0, 1])
    + struct.pack("!HH", 4711, 11112)
    + b"\x03\x00\x04\x00\x00\x00\x00\x04\x00"
)


@pytest.mark.parametrize(
    ("header", "client"),
    [
        (b"PROXY TCP4 10.1.2.3 127.0.0.1 4711 11112\r\n", ("10.1.2.3", 4711)),
        (b"PROXY TCP6 fd00:0::1 ::1 4711 11112\r\n", ("fd00::1", 4711)),
        (V2[:15] + b"\x0c" + V2[16:28], ("10.1.2.3", 4711)),
        (V2[:15] + b"\x15" + V2[16:], ("10.1.2.3", 4711)),
        (b"PROXY UNKNOWN\r\n", None),
    ],
)
@pytest.mark.parametrize("parted", [False, True])
def test_the_header_tells_the_client(header, client, parted):
    with listening(**BALANCED) as scp, connected(scp) as connection:
        for part in (header[:9], header[9:]) if parted else ():
            connection.sendall(part)
            time.sleep(0.02)
        connection.sendall((b"" if parted else header) + association_request())
        assert receive(connection, 1) == b"\x02"
        wait_until(lambda: scp.connections)
        ((address, _, seen_by_pynetdicom),) = scp.connections
        assert address == (client or connection.getsockname())
        assert seen_by_pynetdicom == address[0]


@pytest.mark.parametrize("data", [association_request(), b"PROXY TCP9\r\n", b"\r\n\r\nQUIT"])
def test_without_a_header_there_is_no_association(data):
    with listening(**BALANCED) as scp, connected(scp) as connection:
        connection.sendall(data)
        assert until_closed(connection) == b""
        wait_until(lambda: scp.refused)
        assert scp.refused == ["proxy_header"]


def test_its_own_checks_are_served():
    with listening(**BALANCED) as scp:
        for check in (b"", b"PROXY UNKNOWN\r\n", V2[:12] + b"\x20\x00\x00\x00"):
            with connected(scp) as connection:
                connection.sendall(check)
        time.sleep(0.1)
        assert scp.refused == []


def test_half_a_header_has_the_same_deadline():
    with (
        listening(receiver_request_timeout_seconds=SOON, **BALANCED) as scp,
        connected(scp) as connection,
    ):
        connection.sendall(V2[:20])
        assert until_closed(connection) == b""
        wait_until(lambda: scp.refused)
        assert scp.refused == ["request_timeout"]


def test_other_networks_cannot_pretend():
    with (
        listening(receiver_proxy_networks=["10.0.0.0/8"]) as scp,
        connected(scp) as connection,
    ):
        connection.sendall(V2 + association_request())
        until_closed(connection)
        wait_until(lambda: scp.refused)
        assert scp.refused == ["invalid_request"]
