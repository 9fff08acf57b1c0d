"""Association requests, behind a balancer's header or not, and what can become of them."""

import struct
from random import Random
from typing import Final

from benchmarks.fuzz.conversations import CONTEXTS, damage

_APPLICATION_CONTEXT: Final = b"1.2.840.10008.3.1.1.1"
_PROXY_V2: Final = b"\r\n\r\n\0\r\nQUIT\n"
_SOUND: Final = 0.2
_PROXIED: Final = 0.3

Item = tuple[int, bytes, "list[Item]"]
"""Type, what comes first in its value, and the items that follow in it."""


def request(rng: Random) -> bytes:
    """A valid A-ASSOCIATE-RQ (PS3.8 9.3.2) that proposes `CONTEXTS`, or what was made of one."""
    items = _items()
    sound = rng.random() < _SOUND
    if not sound:
        for _ in range(rng.choice((1, 1, 2, 4))):
            _change(rng, items)
    body = _fixed(rng, sound=sound) + b"".join(_encode(rng, each, sound=sound) for each in items)
    length = len(body)
    if not sound and rng.random() < _PROXIED:
        length += rng.choice((-1, 1, 1 << 16, 1 << 31)) % (1 << 32)
    data = struct.pack(">BxI", 1, length % (1 << 32)) + body
    if not sound and rng.random() < _PROXIED:
        data = damage(rng, data)
    return data


def sound_request() -> bytes:
    """A valid A-ASSOCIATE-RQ that proposes `CONTEXTS`."""
    rng = Random(0)  # noqa: S311 - a sound request leaves nothing to chance
    body = _fixed(rng, sound=True) + b"".join(_encode(rng, each, sound=True) for each in _items())
    return struct.pack(">BxI", 1, len(body)) + body


def proxied(rng: Random, data: bytes) -> bytes:
    """The same behind a PROXY header (version 1 or 2), which may be broken."""
    addresses = bytes((10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0, 104))
    header = rng.choice(
        (
            b"PROXY TCP4 10.0.0.1 10.0.0.2 80 104\r\n",
            b"PROXY TCP6 ::1 ::2 80 104\r\n",
            b"PROXY UNKNOWN\r\n",
            _PROXY_V2 + b"\x21\x11" + struct.pack(">H", len(addresses)) + addresses,
            _PROXY_V2 + b"\x20\x00\0\0",
            _PROXY_V2 + b"\x21\x21" + struct.pack(">H", rng.randrange(300)) + rng.randbytes(40),
        )
    )
    if rng.random() < _PROXIED:
        header = damage(rng, header)
    return header + data


def _fixed(rng: Random, *, sound: bool) -> bytes:
    titles = (b"DICOM_PIPELINE".ljust(16), b"FUZZ".ljust(16))
    if not sound and rng.random() < _PROXIED:
        titles = (rng.choice((bytes(16), b" " * 16, b"\xff" * 16, rng.randbytes(16))), titles[0])
    version = 1 if sound else rng.choice((1, 1, 1, 1, 0, 2, 3, 65535))
    return struct.pack(">Hxx16s16s32x", version, *titles)


def _items() -> list[Item]:
    contexts: list[Item] = [
        (
            0x20,
            bytes((number, 0, 0, 0)),
            [(0x30, abstract.encode(), []), (0x40, transfer.encode(), [])],
        )
        for number, (abstract, transfer) in CONTEXTS.items()
    ]
    user: list[Item] = [
        (0x51, struct.pack(">I", 16384), []),
        (0x52, b"1.2.3.4", []),
        (0x53, bytes(4), []),
        (0x54, _text(b"1.2.840.10008.1.20.1") + b"\1\0", []),
        (0x55, b"FUZZ_1", []),
        (0x56, _text(b"1.2.840.10008.5.1.4.1.1.2") + b"\2\0\0\0", []),
        (0x57, _text(b"1.2.840.10008.5.1.4.1.1.2") + _text(b"1.2.840.10008.4.2") + b"\0\0", []),
        (0x58, b"\2\1" + _text(b"user") + _text(b"secret"), []),
    ]
    return [(0x10, _APPLICATION_CONTEXT, []), *contexts, (0x50, b"", user)]


def _text(value: bytes) -> bytes:
    return struct.pack(">H", len(value)) + value


def _encode(rng: Random, item: Item, *, sound: bool) -> bytes:
    kind, value, below = item
    value += b"".join(_encode(rng, each, sound=sound) for each in below)
    length = len(value)
    if not sound and rng.random() < 0.02:  # noqa: PLR2004 - one of fifty
        length = rng.choice((0, 1, max(length - 1, 0), length + 1, 65535))
    return struct.pack(">BxH", kind, min(length, 65535)) + value[:65535]


def _change(rng: Random, items: list[Item]) -> None:
    """Change one item here or below."""
    if not items:
        items.append((rng.randrange(256), rng.randbytes(8), []))
        return
    place = rng.randrange(len(items))
    kind, value, below = items[place]
    way = rng.randrange(8)
    if way == 0:
        del items[place]
    elif way == 1:
        items.insert(rng.randrange(len(items)), items[place])
    elif way == 2:  # noqa: PLR2004 - one of eight ways
        items[place:place] = [items[place]] * rng.choice((1, 10, 130))
    elif way == 3:  # noqa: PLR2004
        items[place] = (rng.choice((0x10, 0x20, 0x30, 0x40, *range(0x50, 0x5A))), value, below)
    elif way == 4:  # noqa: PLR2004
        items[place] = (kind, damage(rng, value), below)
    elif way == 5:  # noqa: PLR2004
        items[place] = (kind, rng.randbytes(rng.choice((0, 1, 4, 64, 70, 1000))), below)
    else:
        _change(rng, below)
