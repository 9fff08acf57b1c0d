"""The PROXY protocol's header, by which a balancer tells who has connected to it.

Source: HAProxy, "The PROXY protocol, versions 1 & 2". Only parsing, no sockets: what is read here
comes from the network, so every length is bounded and every value checked.
"""

import ipaddress
import struct
from typing import Final, NamedTuple

MAX_V1: Final = 107
"""Bytes of the longest header of version 1, its line end included."""
MAX_V2: Final = 16 + 4096
"""The addresses, and TLVs of a client's certificate at the most."""

_V1_START: Final = b"PROXY "
_V2_START: Final = b"\r\n\r\n\0\r\nQUIT\n"
_V2_HEAD: Final = 16
_V2_LOCAL, _V2_PROXY = 0x20, 0x21
_V2_ADDRESSES: Final = {0x11: (4, "!4s4sHH"), 0x21: (6, "!16s16sHH")}
"""TCP over IPv4 and IPv6."""
_V2_WITHOUT_ADDRESS: Final = frozenset({0x00, 0x12, 0x22, 0x31, 0x32})
"""Unspecified, and what no TCP sender of ours can be: datagrams and Unix sockets."""


class ProxyHeaderError(ValueError):
    """The bytes are no PROXY header; says what is wrong, and quotes none of them."""


class ProxyHeader(NamedTuple):
    """What a header says."""

    client: tuple[str, int] | None
    """Address and port of the client. None (LOCAL, UNKNOWN): it is the connection's own."""
    length: int
    """Bytes of the header; what follows is the client's."""


def parse_header(data: bytes) -> ProxyHeader | None:
    """The header that ``data`` begins with; None: it is not complete, and all of it belongs to it.

    Raises:
        ProxyHeaderError: ``data`` begins with anything else.
    """
    if data.startswith(_V1_START):
        return _parse_v1(data)
    if data.startswith(_V2_START):
        return _parse_v2(data)
    if _V1_START.startswith(data) or _V2_START.startswith(data):
        return None
    raise ProxyHeaderError("the connection does not begin with a PROXY header")


def _parse_v1(data: bytes) -> ProxyHeader | None:
    end = data.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            raise ProxyHeaderError(f"PROXY line longer than {MAX_V1} bytes")
        return None
    length = end + 2
    words = data[len(_V1_START) : end].split(b" ")
    if words[0] == b"UNKNOWN":
        return ProxyHeader(None, length)
    version = {b"TCP4": 4, b"TCP6": 6}.get(words[0])
    if version is None or len(words) != 5:  # noqa: PLR2004 - protocol, two addresses, two ports
        raise ProxyHeaderError("PROXY line is not TCP4, TCP6 or UNKNOWN with two addresses")
    _, source, destination, source_port, destination_port = words
    _v1_port(destination_port)
    _v1_address(destination, version)
    return ProxyHeader((_v1_address(source, version), _v1_port(source_port)), length)


def _v1_address(word: bytes, version: int) -> str:
    try:
        address = ipaddress.ip_address(word.decode("ascii"))
    except ValueError:
        raise ProxyHeaderError("address in the PROXY line is malformed") from None
    if address.version != version or b"%" in word:
        raise ProxyHeaderError(f"address in the PROXY line is not of TCP{version}")
    return str(address)


def _v1_port(word: bytes) -> int:
    if not word.isdigit() or len(word) > len("65535") or int(word) > 0xFFFF:  # noqa: PLR2004
        raise ProxyHeaderError("port in the PROXY line is malformed")
    return int(word)


def _parse_v2(data: bytes) -> ProxyHeader | None:
    if len(data) < _V2_HEAD:
        return None
    command, family, following = struct.unpack_from("!BBH", data, len(_V2_START))
    length = _V2_HEAD + following
    if command not in {_V2_LOCAL, _V2_PROXY}:
        raise ProxyHeaderError(f"PROXY header has version and command 0x{command:02X}")
    if length > MAX_V2:
        raise ProxyHeaderError(f"PROXY header of {length} bytes: at most {MAX_V2} are read")
    if command == _V2_PROXY and family not in _V2_WITHOUT_ADDRESS | _V2_ADDRESSES.keys():
        raise ProxyHeaderError(f"PROXY header has the unknown address family 0x{family:02X}")
    if command == _V2_LOCAL or family in _V2_WITHOUT_ADDRESS:
        return ProxyHeader(None, length) if len(data) >= length else None
    version, layout = _V2_ADDRESSES[family]
    if following < struct.calcsize(layout):
        raise ProxyHeaderError(f"PROXY header has no room for the addresses of IPv{version}")
    if len(data) < length:
        return None
    source, _, port, _ = struct.unpack_from(layout, data, _V2_HEAD)
    return ProxyHeader((str(ipaddress.ip_address(source)), port), length)
