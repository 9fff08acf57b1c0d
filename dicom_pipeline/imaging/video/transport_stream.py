"""H.264 access units with time stamps as an MPEG transport stream (ISO/IEC 13818-1).

An elementary stream has no time stamps, and FFmpeg gives none to pictures that are shown in another
order than they are coded in. A transport stream is the simplest file that carries the access units
as they are, each with its decoding and presentation time.
"""

from collections.abc import Iterable, Iterator
from typing import BinaryIO, Final, NamedTuple

_PACKET: Final = 188
_SYNC: Final = 0x47
_HEADER: Final = 4
_PAT_PID, _PMT_PID, _VIDEO_PID = 0x0000, 0x1000, 0x0100
_H264: Final = 0x1B
_VIDEO_STREAM: Final = 0xE0
START: Final = 90_000
"""Time stamp of the first access unit: decoders want some time before it."""
_STUFFING: Final = b"\xff"
_CRC_POLYNOMIAL: Final = 0x04C11DB7


class AccessUnit(NamedTuple):
    """One coded picture."""

    data: bytes
    """As in the elementary stream, with start codes (ISO/IEC 14496-10 Annex B)."""
    pts: int
    """When it is shown, in 1/90,000 s."""
    dts: int
    """When it is decoded, in 1/90,000 s; increases."""


def write_transport_stream(units: Iterable[AccessUnit], file: BinaryIO) -> None:
    """Write access units, in the order of decoding, as a transport stream of one program."""
    program = b"\0\1" + (0xE000 | _PMT_PID).to_bytes(2, "big")
    file.write(_section_packet(_PAT_PID, 0x00, program))
    stream = bytes([_H264]) + (0xE000 | _VIDEO_PID).to_bytes(2, "big") + b"\xf0\0"
    clock = (0xE000 | _VIDEO_PID).to_bytes(2, "big") + b"\xf0\0"
    file.write(_section_packet(_PMT_PID, 0x02, clock + stream))
    counter = 0
    for unit in units:
        for packet in _packets(unit, counter):
            file.write(packet)
            counter = (counter + 1) % 16


def _packets(unit: AccessUnit, counter: int) -> Iterator[bytes]:
    """The packets of one access unit (2.4.3.2); the first one carries the clock."""
    payload = memoryview(_pes_header(unit) + unit.data)
    at = 0
    clock = _clock(unit.dts + START)
    while at < len(payload):
        first = at == 0
        field = clock if first else b""
        room = _PACKET - _HEADER - len(field)
        part = payload[at : at + room]
        if len(part) < room:
            field = _stuffed(field, room - len(part))
        pid = (0x4000 if first else 0) | _VIDEO_PID
        control = (0x30 if field else 0x10) | counter
        yield bytes([_SYNC]) + pid.to_bytes(2, "big") + bytes([control]) + field + part
        at += len(part)
        counter = (counter + 1) % 16


def _clock(dts: int) -> bytes:
    """An adaptation field with the program clock reference (2.4.3.4)."""
    base = dts % (1 << 33)
    return b"\x07\x10" + ((base << 15) | 0x7E00).to_bytes(6, "big")


def _stuffed(field: bytes, missing: int) -> bytes:
    """An adaptation field that is longer by ``missing`` bytes."""
    if field:
        return bytes([field[0] + missing]) + field[1:] + _STUFFING * missing
    return b"\0" if missing == 1 else bytes([missing - 1, 0]) + _STUFFING * (missing - 2)


def _pes_header(unit: AccessUnit) -> bytes:
    """Of a packet of unbounded length, with both time stamps (2.4.3.6)."""
    stamps = _stamp(0b0011, unit.pts + START) + _stamp(0b0001, unit.dts + START)
    return b"\0\0\1" + bytes([_VIDEO_STREAM, 0, 0, 0x84, 0xC0, len(stamps)]) + stamps


def _stamp(prefix: int, ticks: int) -> bytes:
    ticks %= 1 << 33
    return (
        (prefix << 36) | ((ticks >> 30) << 33) | (1 << 32)
        | ((ticks >> 15 & 0x7FFF) << 17) | (1 << 16) | ((ticks & 0x7FFF) << 1) | 1
    ).to_bytes(5, "big")  # fmt: skip


def _section_packet(pid: int, table: int, body: bytes) -> bytes:
    """One section of program information, alone in its packet (2.4.4)."""
    length = 5 + len(body) + 4
    section = bytes([table]) + (0xB000 | length).to_bytes(2, "big") + b"\0\1\xc1\0\0" + body
    section += _crc(section).to_bytes(4, "big")
    head = bytes([_SYNC]) + (0x4000 | pid).to_bytes(2, "big") + b"\x10\0"
    return (head + section).ljust(_PACKET, _STUFFING)


def _crc(data: bytes) -> int:
    """CRC-32 as in Annex A: not reflected, not inverted."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1) ^ (_CRC_POLYNOMIAL if value & 0x80000000 else 0)
            value &= 0xFFFFFFFF
    return value
