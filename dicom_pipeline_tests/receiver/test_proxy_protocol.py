import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from receiver.proxy_protocol import MAX_V1, MAX_V2, ProxyHeaderError, parse_header

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PORTS = st.integers(0, 65535)


def v1(source, destination, source_port=1, destination_port=2):
    words = f"PROXY TCP{source.version} {source} {destination} {source_port} {destination_port}\r\n"
    return words.encode()


def v2(source, destination, source_port=1, destination_port=2, tlvs=b"", command=0x21):
    addresses = (
        source.packed + destination.packed + struct.pack("!HH", source_port, destination_port)
    )
    family = 0x11 if source.version == 4 else 0x21
    size = len(addresses) + len(tlvs)
    return SIGNATURE + struct.pack("!BBH", command, family, size) + addresses + tlvs


PAIRS = st.one_of(
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)),
    st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)),
)
HEADERS = st.one_of(
    st.builds(lambda pair, *ports: (v1(*pair, *ports), pair[0], ports[0]), PAIRS, PORTS, PORTS),
    st.builds(
        lambda pair, *rest: (v2(*pair, *rest), pair[0], rest[0]),
        PAIRS,
        PORTS,
        PORTS,
        st.binary(max_size=600),
    ),
)


@given(HEADERS, st.binary(max_size=200))
def test_a_header_tells_the_client_and_its_own_length_whatever_follows(made, rest):
    header, source, port = made
    assert parse_header(header + rest) == ((str(source), port), len(header))


@given(HEADERS, st.data())
def test_a_part_of_a_header_is_not_complete(made, data):
    header, _, _ = made
    assert parse_header(header[: data.draw(st.integers(0, len(header) - 1))]) is None


@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(SIGNATURE.__add__),
        st.binary(max_size=300).map(b"PROXY ".__add__),
        st.text(alphabet="TCP46UNKOW 0123456789.:abf%\r\n", max_size=120).map(
            lambda text: f"PROXY TCP6 {text}".encode()
        ),
    )
)
@example(b"PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n")
@example(b"PROXY TCP4 \xc2\xb9.1.1.1 1.1.1.1 1 2\r\n")
def test_hostile_bytes_are_a_header_within_bounds_or_incomplete_or_refused(data):
    try:
        header = parse_header(data)
    except ProxyHeaderError:
        return
    if header is None:
        assert len(data) < (MAX_V1 if data.startswith(b"PROXY") else MAX_V2)
    else:
        assert header.length <= len(data)


@pytest.mark.parametrize(
    "header",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n",
        SIGNATURE + b"\x20\x00\x00\x00",
        SIGNATURE + b"\x20\x11\x00\x0c" + bytes(12),
        SIGNATURE + b"\x21\x00\x00\x03\x01\x02\x03",
        SIGNATURE + b"\x21\x31\x00\xd8" + bytes(216),
    ],
)
def test_a_balancers_own_check_leaves_the_address_of_the_connection(header):
    assert parse_header(header + b"rest") == (None, len(header))


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"\x01\x00", "does not begin with a PROXY header"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 1\r\n", "two addresses"),
        (b"PROXY UDP4 10.0.0.1 10.0.0.2 1 2\r\n", "not TCP4"),
        (b"PROXY TCP4 ::1 ::2 1 2\r\n", "not of TCP4"),
        (b"PROXY TCP4 10.0.0.256 10.0.0.2 1 2\r\n", "malformed"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 65536 2\r\n", "port"),
        (b"PROXY TCP4 10.0.0.1 10.0.0.2 -1 2\r\n", "port"),
        (b"PROXY " + b"x" * MAX_V1, "longer than 107"),
        (SIGNATURE + b"\x31\x11\x00\x0c", "0x31"),
        (SIGNATURE + b"\x22\x11\x00\x0c", "0x22"),
        (SIGNATURE + b"\x21\x41\x00\x0c", "0x41"),
        (SIGNATURE + b"\x21\x11\x00\x0b", "no room"),
        (SIGNATURE + b"\x21\x11\xff\xff", "at most"),
    ],
)
def test_what_is_wrong_is_said_as_soon_as_it_is_known(data, problem):
    with pytest.raises(ProxyHeaderError, match=problem):
        parse_header(data)


def test_the_longest_line_of_version_1_is_read():
    longest = ":".join(["ffff"] * 8)
    header = f"PROXY TCP6 {longest} {longest} 65535 65535\r\n".encode()
    assert len(header) <= MAX_V1
    assert parse_header(header) == ((longest, 65535), len(header))


def test_versions_agree_on_an_address():
    for pair in ((IPv4Address("10.1.2.3"),) * 2, (IPv6Address("fd00::1"),) * 2):
        assert parse_header(v1(*pair)).client == parse_header(v2(*pair)).client
