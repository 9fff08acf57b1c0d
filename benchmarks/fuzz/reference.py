"""What a stream of bytes asks to be stored, by the plainest reading of PS3.8 and PS3.7.

Nothing of the product: what it acknowledges is held against this.
"""

import hashlib
import struct
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

_P_DATA: Final = 0x04
_COMMAND, _LAST = 1, 2
_NO_DATA_SET: Final = 0x0101
_STORE: Final = 0x0001


class Store(NamedTuple):
    """A whole C-STORE request."""

    sop_instance_uid: str
    digest: str
    """SHA-256 of the transfer syntax UID and the data set."""
    length: int


def pdus(stream: bytes) -> Iterator[tuple[int, bytes]]:
    """Type and body of each whole PDU."""
    position = 0
    while position + 6 <= len(stream):
        kind, length = struct.unpack_from(">BxI", stream, position)
        position += 6
        if position + length > len(stream):
            return
        yield kind, stream[position : position + length]
        position += length


def values(body: bytes) -> Iterator[tuple[int, int, bytes]]:
    """Context ID, message control header and fragment of each sound item."""
    while len(body) >= 6:  # noqa: PLR2004 - an item's head
        length, context_id, control = struct.unpack_from(">IBB", body)
        if not 2 <= length <= len(body) - 4:  # noqa: PLR2004 - what the length counts
            return
        yield context_id, control, body[6 : 4 + length]
        body = body[4 + length :]


def elements(command: bytes) -> dict[int, bytes]:
    """The values of a command set by element number."""
    found, position = {}, 0
    while position + 8 <= len(command):
        _, number, length = struct.unpack_from("<HHI", command, position)
        found[number] = command[position + 8 : position + 8 + length]
        position += 8 + length
    return found


def stores(stream: bytes, transfer_syntaxes: Mapping[int, str]) -> Iterator[Store]:
    """The C-STORE requests in a stream that breaks no rule; beyond a breach anything may follow."""
    command, data, asked = b"", b"", dict[int, bytes]()
    for kind, body in pdus(stream):
        if kind != _P_DATA:
            return
        for context_id, control, fragment in values(body):
            if control & _COMMAND:
                command += fragment
                asked = elements(command) if control & _LAST else {}
            else:
                data += fragment
            operation, follows = _number(asked, 0x0100), _number(asked, 0x0800) != _NO_DATA_SET
            if not control & _LAST or (control & _COMMAND and follows):
                continue
            if operation == _STORE:
                uid = asked.get(0x1000, b"") or asked.get(0x1001, b"")
                syntax = transfer_syntaxes.get(context_id, "")
                digest = hashlib.sha256(syntax.encode() + data).hexdigest()
                yield Store(uid.rstrip(b"\0 ").decode("ascii", "replace"), digest, len(data))
            command, data, asked = b"", b"", {}


def _number(found: Mapping[int, bytes], number: int) -> int:
    return int.from_bytes(found.get(number, b""), "little")


def answers(stream: bytes) -> list[dict[int, bytes]]:
    """The command sets of the responses in what the receiver has sent."""
    found, command = [], b""
    for kind, body in pdus(stream):
        if kind == _P_DATA:
            for _, control, fragment in values(body):
                if control & _COMMAND:
                    command += fragment
                    if control & _LAST:
                        found.append(elements(command))
                        command = b""
    return found
