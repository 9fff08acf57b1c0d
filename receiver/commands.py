"""DIMSE command sets on the wire: group 0000, implicit VR little endian (PS3.7 6.3.1, E.1)."""

import struct
from collections.abc import Mapping
from enum import IntEnum
from functools import lru_cache
from typing import Final, NamedTuple

COMMAND_BYTES: Final = 1 << 16
"""No command set is longer: the longest of the standard holds a few UIDs and titles."""

GROUP_LENGTH: Final = 0x0000
AFFECTED_SOP_CLASS_UID: Final = 0x0002
REQUESTED_SOP_CLASS_UID: Final = 0x0003
COMMAND_FIELD: Final = 0x0100
MESSAGE_ID: Final = 0x0110
MESSAGE_ID_BEING_RESPONDED_TO: Final = 0x0120
COMMAND_DATA_SET_TYPE: Final = 0x0800
STATUS: Final = 0x0900
ERROR_COMMENT: Final = 0x0902
AFFECTED_SOP_INSTANCE_UID: Final = 0x1000
REQUESTED_SOP_INSTANCE_UID: Final = 0x1001
EVENT_TYPE_ID: Final = 0x1002
ACTION_TYPE_ID: Final = 0x1008

NO_DATA_SET: Final = 0x0101
DATA_SET: Final = 0x0001
RESPONSE: Final = 0x8000
"""The bit of CommandField that makes a response of a request."""

_TAG: Final = struct.Struct("<HHI")
_NUMBER: Final = struct.Struct("<HHIH")
_NUMBER_BYTES: Final = 2
"""Of a US (PS3.5 6.2)."""
_UL: Final = struct.Struct("<I")
_NONE: Final = -1
_ABSENT: Final = {
    MESSAGE_ID: 0,
    MESSAGE_ID_BEING_RESPONDED_TO: 0,
    STATUS: 0,
    ACTION_TYPE_ID: 0,
    COMMAND_FIELD: _NONE,
    COMMAND_DATA_SET_TYPE: _NONE,
}
"""The numbers of a command that has none: every command has the last two."""


class Operation(IntEnum):
    """CommandField (0000,0100) of the requests that a receiver meets."""

    C_STORE = 0x0001
    C_ECHO = 0x0030
    N_EVENT_REPORT = 0x0100
    N_ACTION = 0x0130
    C_CANCEL = 0x0FFF


class CommandError(Exception):
    """The bytes are no command set. The message holds no values."""


class Command(NamedTuple):
    """A received command set. Absent UIDs are empty, absent numbers 0."""

    field: int
    message_id: int
    responded_to: int
    has_data_set: bool
    status: int
    sop_class_uid: str
    """Affected or requested."""
    sop_instance_uid: str
    action_type: int


def decode(data: bytes | bytearray) -> Command:
    """One command set.

    Raises:
        CommandError: it is cut off, has foreign elements, or lacks what every command has.
    """
    data = bytes(data)
    numbers = _ABSENT.copy()
    texts: dict[int, bytes] = {}
    position, end = 0, len(data)
    try:
        while position < end:
            group, element, length = _TAG.unpack_from(data, position)
            start = position + _TAG.size
            position = start + length
            if group != 0 or position > end:
                raise CommandError("an element is not of group 0000, or longer than the command")
            if element not in numbers:
                texts[element] = data[start:position]
            elif length == _NUMBER_BYTES:
                numbers[element] = data[start] | data[start + 1] << 8
            else:
                raise CommandError("a number does not have two bytes")
    except struct.error as error:
        raise CommandError("an element is cut off") from error
    if _NONE in {numbers[COMMAND_FIELD], numbers[COMMAND_DATA_SET_TYPE]}:
        raise CommandError("CommandField or CommandDataSetType is missing")
    return Command(
        field=numbers[COMMAND_FIELD],
        message_id=numbers[MESSAGE_ID],
        responded_to=numbers[MESSAGE_ID_BEING_RESPONDED_TO],
        has_data_set=numbers[COMMAND_DATA_SET_TYPE] != NO_DATA_SET,
        status=numbers[STATUS],
        sop_class_uid=_uid(texts, AFFECTED_SOP_CLASS_UID, REQUESTED_SOP_CLASS_UID),
        sop_instance_uid=_uid(texts, AFFECTED_SOP_INSTANCE_UID, REQUESTED_SOP_INSTANCE_UID),
        action_type=numbers[ACTION_TYPE_ID],
    )


def _uid(values: Mapping[int, bytes], *elements: int) -> str:
    for element in elements:
        if value := values.get(element):
            return value.rstrip(b"\0 ").decode("ascii", "replace")
    return ""


def encode(values: Mapping[int, int | str]) -> bytes:
    """A command set of ascending elements, with its group length.

    Text of more than 64 KiB or other characters than ASCII is an error of the caller.
    """
    return _with_length(_elements(values))


def response(request: Command, status: int, comment: str = "") -> bytes:
    """The response to a request, without a data set."""
    body = (
        _of_class(request.sop_class_uid, request.field | RESPONSE)
        + _NUMBER.pack(0, MESSAGE_ID_BEING_RESPONDED_TO, _NUMBER_BYTES, request.message_id)
        + _of_status(status, comment)
    )
    if request.sop_instance_uid:
        body += _text(AFFECTED_SOP_INSTANCE_UID, request.sop_instance_uid)
    if request.field == Operation.N_ACTION:
        body += _NUMBER.pack(0, ACTION_TYPE_ID, _NUMBER_BYTES, request.action_type)
    return _with_length(body)


@lru_cache(maxsize=64)
def _of_class(sop_class_uid: str, field: int) -> bytes:
    """What many responses have before the message ID."""
    uid = {AFFECTED_SOP_CLASS_UID: sop_class_uid} if sop_class_uid else {}
    return _elements({**uid, COMMAND_FIELD: field})


@lru_cache(maxsize=64)
def _of_status(status: int, comment: str) -> bytes:
    """What many responses have behind the message ID."""
    told = {ERROR_COMMENT: comment} if comment else {}
    return _elements({COMMAND_DATA_SET_TYPE: NO_DATA_SET, STATUS: status, **told})


def _elements(values: Mapping[int, int | str]) -> bytes:
    return b"".join(
        _NUMBER.pack(0, element, _NUMBER_BYTES, value)
        if isinstance(value, int)
        else _text(element, value)
        for element, value in sorted(values.items())
    )


def _text(element: int, value: str) -> bytes:
    text = value.encode("ascii", "replace")
    if len(text) % 2:
        text += b" " if element == ERROR_COMMENT else b"\0"
    return _TAG.pack(0, element, len(text)) + text


def _with_length(body: bytes) -> bytes:
    return _TAG.pack(0, GROUP_LENGTH, _UL.size) + _UL.pack(len(body)) + body
