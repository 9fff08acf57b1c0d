"""What a sender might say in an association: valid conversations, and what can become of them.

Everything follows from a random generator, so an input is known by its seed and number. A
conversation stays a list of PDUs until it is encoded: a change to it gets past the first check more
often than a change to bytes does.
"""

import struct
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

CT: Final = "1.2.840.10008.5.1.4.1.1.2"
MR: Final = "1.2.840.10008.5.1.4.1.1.4"
VERIFICATION: Final = "1.2.840.10008.1.1"
COMMITMENT: Final = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"

CONTEXTS: Final[Mapping[int, tuple[str, str]]] = {
    1: (CT, EXPLICIT),
    3: (MR, IMPLICIT),
    5: (CT, DEFLATED),
    7: (VERIFICATION, IMPLICIT),
    9: (COMMITMENT, EXPLICIT),
}
"""Abstract and transfer syntax of the presentation contexts that were accepted."""

MAX_PDU: Final = 4096
"""What the receiver takes, in bytes."""

_P_DATA, _RELEASE_RQ, _ABORT = 0x04, 0x05, 0x07
_COMMAND, _LAST = 1, 2
_ECHO, _STORE, _ACTION, _CANCEL = 0x0030, 0x0001, 0x0130, 0x0FFF
_EVENT_REPORT_RESPONSE, _FIND, _STORE_RESPONSE = 0x8100, 0x0020, 0x8001
_DATA_SET, _NO_DATA_SET = 0x0001, 0x0101
_INTERESTING: Final = (0, 1, 2, 3, 5, 6, 7, 127, 128, 255, 4095, 4096, 4097, 65535, 65536)
_HUGE: Final = ((1 << 31) - 1, 1 << 31, (1 << 32) - 2, (1 << 32) - 1)


@dataclass(frozen=True)
class Value:
    """A presentation data value item."""

    context_id: int
    control: int
    fragment: bytes
    length: int | None = None
    """What its head says, if not the truth."""

    def encode(self) -> bytes:
        """As on the wire (PS3.8 9.3.5.1)."""
        length = len(self.fragment) + 2 if self.length is None else self.length
        return struct.pack(">IBB", length, self.context_id, self.control) + self.fragment


@dataclass
class Pdu:
    """One PDU, of any type."""

    kind: int
    values: list[Value] = field(default_factory=list)
    body: bytes = b""
    """What follows the values; all there is in other PDUs than P-DATA-TF."""
    length: int | None = None
    """What its head says, if not the truth."""

    def encode(self) -> bytes:
        """As on the wire (PS3.8 9.3)."""
        body = b"".join(each.encode() for each in self.values) + self.body
        length = len(body) if self.length is None else self.length
        return struct.pack(">BxI", self.kind, length) + body


def encode(conversation: Sequence[Pdu]) -> bytes:
    """All of it."""
    return b"".join(each.encode() for each in conversation)


def conversation(rng: Random, number: int) -> list[Pdu]:
    """A few valid messages and a release; ``number`` goes into the UIDs."""
    pdus: list[Pdu] = []
    for index in range(rng.randint(1, 3)):
        make = rng.choices(tuple(_MESSAGES), tuple(_MESSAGES.values()))[0]
        pdus += make(rng, f"1.2.3.{number}.{index}")
    return [*pdus, Pdu(_RELEASE_RQ, body=bytes(4))]


def mutate(rng: Random, pdus: list[Pdu]) -> bytes:
    """Change a conversation a few times, as PDUs and then as bytes."""
    for _ in range(rng.choice((1, 1, 1, 2, 3, 5))):
        change = rng.choice(_CHANGES)
        if pdus:
            change(rng, pdus)
    data = encode(pdus)
    if rng.random() < _BYTES_TOO:
        data = damage(rng, data)
    return data


_BYTES_TOO: Final = 0.2


def damage(rng: Random, data: bytes) -> bytes:
    """Bytes flipped, taken out, repeated or put in."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(changed) + 1)
        way = rng.randrange(5)
        if way == 0:
            changed[place : place + 1] = rng.randbytes(1)
        elif way == 1:
            del changed[place : place + rng.choice((1, 2, 16, 1000))]
        elif way == 2:  # noqa: PLR2004 - one of five ways
            changed[place:place] = changed[place : place + rng.randint(1, 200)]
        elif way == 3:  # noqa: PLR2004
            changed[place:place] = rng.randbytes(rng.choice((1, 4, 30)))
        else:
            size = rng.choice((1, 2, 4))
            value = rng.choice((*_INTERESTING, *_HUGE)) % (1 << (8 * size))
            changed[place : place + size] = value.to_bytes(size, rng.choice(("big", "little")))
    return bytes(changed)


def command(values: Mapping[int, int | str]) -> bytes:
    """A command set (PS3.7 6.3.1)."""
    body = b""
    for number, value in sorted(values.items()):
        data = struct.pack("<H", value) if isinstance(value, int) else value.encode()
        data += b"\0" * (len(data) % 2)
        body += struct.pack("<HHI", 0, number, len(data)) + data
    return struct.pack("<HHII", 0, 0, 4, len(body)) + body


def element(tag: int, vr: str, value: bytes, transfer_syntax: str = EXPLICIT) -> bytes:
    """A data element with an even length (PS3.5 7.1)."""
    value += b"\0" * (len(value) % 2)
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if transfer_syntax == IMPLICIT:
        return head + struct.pack("<I", len(value)) + value
    if vr in {"OB", "SQ", "UN"}:
        return head + vr.encode() + struct.pack("<HI", 0, len(value)) + value
    return head + vr.encode() + struct.pack("<H", len(value)) + value


def data_set(rng: Random, sop_class: str, uid: str, transfer_syntax: str) -> bytes:
    """An object of a few hundred to a few ten thousand bytes, mostly fit to be stored."""
    study, series = f"1.9.{rng.randrange(3)}", f"1.9.8.{rng.randrange(3)}"
    blob = rng.randbytes(16) * rng.choice((0, 1, 20, 60, 400, 1200))
    elements = [
        (0x00080016, "UI", sop_class.encode()),
        (0x00080018, "UI", uid.encode()),
        (0x00080020, "DA", rng.choice((b"20240229", b"20240230", b"", b"../../ab"))),
        (0x00081140, "SQ", b"" if rng.random() < _OFTEN else blob),
        (0x00091001, "OB", blob if rng.random() < _SELDOM else b"x"),
        (0x00100020, "LO", rng.choice((b"P1", b"\xff\xfe", b"P\\Q", b"N" * 100))),
        (0x0020000D, "UI", study.encode() if rng.random() < _OFTEN else b"1..9"),
        (0x0020000E, "UI", series.encode()),
        (0x00280008, "IS", b"1"),
        (0x7FE00010, "OB", blob),
    ]
    if rng.random() < _SELDOM:
        del elements[rng.randrange(len(elements))]
    encoded = b"".join(element(*each, transfer_syntax) for each in elements)
    if transfer_syntax == DEFLATED:
        deflate = zlib.compressobj(1, zlib.DEFLATED, -15)
        encoded = deflate.compress(encoded) + deflate.flush()
    return encoded


_OFTEN, _SELDOM = 0.95, 0.1


def _fragments(rng: Random, context_id: int, control: int, data: bytes) -> list[Value]:
    values, position = [], 0
    while position < len(data):
        size = rng.choice((rng.randint(1, 200), MAX_PDU - 6, MAX_PDU - 6))
        last = _LAST if position + size >= len(data) else 0
        values.append(Value(context_id, control | last, data[position : position + size]))
        position += size
    return values


def _message(rng: Random, context_id: int, command_set: bytes, data: bytes = b"") -> list[Pdu]:
    """In PDUs that hold one value or as many as fit."""
    values = _fragments(rng, context_id, _COMMAND, command_set)
    values += _fragments(rng, context_id, 0, data)
    together, pdus, room = rng.random() < _SELDOM * 4, list[Pdu](), 0
    for value in values:
        size = len(value.fragment) + 6
        if not (together and size <= room):
            pdus.append(Pdu(_P_DATA))
            room = MAX_PDU
        pdus[-1].values.append(value)
        room -= size
    return pdus


def _store(rng: Random, uid: str) -> list[Pdu]:
    context_id = rng.choice((1, 1, 3, 5))
    sop_class, syntax = CONTEXTS[context_id]
    told = {0x0002: sop_class, 0x0100: _STORE, 0x0110: rng.randrange(1 << 16), 0x0700: 0}
    told |= {0x0800: _DATA_SET, 0x1000: uid}
    return _message(rng, context_id, command(told), data_set(rng, sop_class, uid, syntax))


def _echo(rng: Random, _: str) -> list[Pdu]:
    told = {0x0002: VERIFICATION, 0x0100: _ECHO, 0x0110: 1, 0x0800: _NO_DATA_SET}
    return _message(rng, 7, command(told))


def _action(rng: Random, uid: str) -> list[Pdu]:
    told = {0x0003: COMMITMENT, 0x0100: _ACTION, 0x0110: 2, 0x0800: _DATA_SET}
    told |= {0x1001: COMMITMENT_INSTANCE, 0x1008: rng.choice((1, 1, 2))}
    reference = element(0x00081150, "UI", CT.encode()) + element(0x00081155, "UI", uid.encode())
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(reference)) + reference
    information = element(0x00081195, "UI", b"1.2.3")
    information += element(0x00081199, "SQ", item * rng.choice((0, 1, 1, 3)))
    return _message(rng, 9, command(told), information)


def _event_report_response(rng: Random, _: str) -> list[Pdu]:
    told = {0x0100: _EVENT_REPORT_RESPONSE, 0x0120: rng.choice((0, 1, 2, 65535))}
    told |= {0x0800: _NO_DATA_SET, 0x0900: 0}
    return _message(rng, 9, command(told))


def _cancel(rng: Random, _: str) -> list[Pdu]:
    told = {0x0100: _CANCEL, 0x0120: 1, 0x0800: _NO_DATA_SET}
    return _message(rng, rng.choice(tuple(CONTEXTS)), command(told))


def _other(rng: Random, uid: str) -> list[Pdu]:
    operation = rng.choice((_FIND, _STORE_RESPONSE, 0x0021, 0x0010, rng.randrange(1 << 16)))
    told = {0x0002: CT, 0x0100: operation, 0x0110: 3, 0x0800: _DATA_SET}
    return _message(rng, rng.choice(tuple(CONTEXTS)), command(told), uid.encode() * 3)


Message = Callable[[Random, str], list[Pdu]]
_MESSAGES: Final[Mapping[Message, int]] = {
    _store: 10,
    _echo: 3,
    _action: 2,
    _event_report_response: 1,
    _cancel: 1,
    _other: 1,
}
"""Each with its weight."""


def _drop(rng: Random, pdus: list[Pdu]) -> None:
    del pdus[rng.randrange(len(pdus))]


def _repeat(rng: Random, pdus: list[Pdu]) -> None:
    pdus.insert(rng.randrange(len(pdus) + 1), rng.choice(pdus))


def _swap(rng: Random, pdus: list[Pdu]) -> None:
    one, other = rng.randrange(len(pdus)), rng.randrange(len(pdus))
    pdus[one], pdus[other] = pdus[other], pdus[one]


def _insert(rng: Random, pdus: list[Pdu]) -> None:
    kind = rng.choice((*range(9), 0xFF, _P_DATA, _ABORT, _RELEASE_RQ))
    body = rng.choice((b"", bytes(4), rng.randbytes(rng.randrange(64))))
    pdus.insert(rng.randrange(len(pdus) + 1), Pdu(kind, body=body))


def _cut(rng: Random, pdus: list[Pdu]) -> None:
    del pdus[rng.randrange(len(pdus)) :]


def _splice(rng: Random, pdus: list[Pdu]) -> None:
    """The beginning of this conversation, and the end of another."""
    other = conversation(rng, rng.randrange(1 << 30))
    pdus[rng.randrange(len(pdus) + 1) :] = other[rng.randrange(len(other)) :]


def _interleave(rng: Random, pdus: list[Pdu]) -> None:
    other = conversation(rng, rng.randrange(1 << 30))[:-1]
    for place, pdu in zip(
        sorted(rng.sample(range(len(pdus) + len(other)), len(other))), other, strict=True
    ):
        pdus.insert(place, pdu)


def _merge(rng: Random, pdus: list[Pdu]) -> None:
    """The values of two PDUs in one."""
    place = rng.randrange(len(pdus))
    following = pdus[place + 1 : place + 2]
    joined = pdus[place].values + [value for each in following for value in each.values]
    pdus[place : place + 2] = [replace(pdus[place], values=joined)]


def _kind(rng: Random, pdus: list[Pdu]) -> None:
    place = rng.randrange(len(pdus))
    pdus[place] = replace(pdus[place], kind=rng.choice((*range(9), rng.randrange(256))))


def _length(rng: Random, pdus: list[Pdu]) -> None:
    place = rng.randrange(len(pdus))
    true = len(pdus[place].encode()) - 6
    wrong = rng.choice((true + 1, max(true - 1, 0), *_INTERESTING, *_HUGE))
    pdus[place] = replace(pdus[place], length=wrong)


def _tail(rng: Random, pdus: list[Pdu]) -> None:
    place = rng.randrange(len(pdus))
    pdus[place] = replace(pdus[place], body=rng.randbytes(rng.choice((1, 3, 5, 6, 12, 4096))))


def _on_value(
    change: Callable[[Random, Value], list[Value]],
) -> Callable[[Random, list[Pdu]], None]:
    """A change to a random value of a random PDU."""

    def apply(rng: Random, pdus: list[Pdu]) -> None:
        place = rng.randrange(len(pdus))
        values = list(pdus[place].values)
        if values:
            at = rng.randrange(len(values))
            values[at : at + 1] = change(rng, values[at])
            pdus[place] = replace(pdus[place], values=values)

    return apply


def _value_context(rng: Random, value: Value) -> list[Value]:
    return [replace(value, context_id=rng.choice((0, 1, 3, 5, 7, 9, 11, 255)))]


def _value_control(rng: Random, value: Value) -> list[Value]:
    return [replace(value, control=rng.choice((0, 1, 2, 3, 4, 7, 255)))]


def _value_length(rng: Random, value: Value) -> list[Value]:
    true = len(value.fragment) + 2
    return [replace(value, length=rng.choice((true - 1, true + 1, *_INTERESTING, *_HUGE)))]


def _value_split(rng: Random, value: Value) -> list[Value]:
    """In two, or with empty ones around."""
    place = rng.choice((0, len(value.fragment), rng.randrange(len(value.fragment) + 1)))
    first = replace(value, control=value.control & ~_LAST, fragment=value.fragment[:place])
    return [first, replace(value, fragment=value.fragment[place:])]


def _value_short(rng: Random, value: Value) -> list[Value]:
    return [replace(value, fragment=value.fragment[: rng.randrange(len(value.fragment) + 1)])]


def _value_damage(rng: Random, value: Value) -> list[Value]:
    """In the command set, or in the data set."""
    return [replace(value, fragment=damage(rng, value.fragment))]


_CHANGES: Final[Sequence[Callable[[Random, list[Pdu]], None]]] = (
    _drop,
    _repeat,
    _swap,
    _insert,
    _cut,
    _splice,
    _interleave,
    _merge,
    _kind,
    _length,
    _tail,
    *map(
        _on_value,
        (_value_context, _value_control, _value_length, _value_split, _value_short),
    ),
    *[_on_value(_value_damage)] * 4,
)
