"""DIMSE command sets on the wire: group 0000, implicit VR little endian (PS3.7 6.3.1, E.1)."""

import struct
from collections.abc import Mapping
from enum import IntEnum
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
    values: dict[int, bytes] = {}
    position, end = 0, len(data)
    try:
        while position < end:
            group, element, length = _TAG.unpack_from(data, position)
            start = position + _TAG.size
            position = start + length
            if group != 0 or position > end:
                raise CommandError("an element is not of group 0000, or longer than the command")
            values[element] = data[start:position]
    except struct.error as error:
        raise CommandError("an element is cut off") from error
    if COMMAND_FIELD not in values or COMMAND_DATA_SET_TYPE not in values:
        raise CommandError("CommandField or CommandDataSetType is missing")
    return Command(
        field=_number(values, COMMAND_FIELD),
        message_id=_number(values, MESSAGE_ID),
        responded_to=_number(values, MESSAGE_ID_BEING_RESPONDED_TO),
        has_data_set=_number(values, COMMAND_DATA_SET_TYPE) != NO_DATA_SET,
        status=_number(values, STATUS),
        sop_class_uid=_uid(values, AFFECTED_SOP_CLASS_UID, REQUESTED_SOP_CLASS_UID),
        sop_instance_uid=_uid(values, AFFECTED_SOP_INSTANCE_UID, REQUESTED_SOP_INSTANCE_UID),
        action_type=_number(values, ACTION_TYPE_ID),
    )


def _number(values: Mapping[int, bytes], element: int) -> int:
    value = values.get(element, b"\0\0")
    if len(value) != _NUMBER_BYTES:
        raise CommandError("a number does not have two bytes")
    return int.from_bytes(value, "little")


def _uid(values: Mapping[int, bytes], *elements: int) -> str:
    for element in elements:
        if value := values.get(element):
            return value.rstrip(b"\0 ").decode("ascii", "replace")
    return ""


def encode(values: Mapping[int, int | str]) -> bytes:
    """A command set of ascending elements, with its group length.

    Text of more than 64 KiB or other characters than ASCII is an error of the caller.
    """
    parts = []
    for element in sorted(values):
        value = values[element]
        if isinstance(value, int):
            parts.append(_NUMBER.pack(0, element, 2, value))
            continue
        text = value.encode("ascii", "replace")
        if len(text) % 2:
            text += b" " if element == ERROR_COMMENT else b"\0"
        parts.append(_TAG.pack(0, element, len(text)) + text)
    body = b"".join(parts)
    return _TAG.pack(0, GROUP_LENGTH, _UL.size) + _UL.pack(len(body)) + body


def response(request: Command, status: int, comment: str = "") -> bytes:
    """The response to a request, without a data set."""
    values: dict[int, int | str] = {
        COMMAND_FIELD: request.field | RESPONSE,
        MESSAGE_ID_BEING_RESPONDED_TO: request.message_id,
        COMMAND_DATA_SET_TYPE: NO_DATA_SET,
        STATUS: status,
    }
    if request.sop_class_uid:
        values[AFFECTED_SOP_CLASS_UID] = request.sop_class_uid
    if request.sop_instance_uid:
        values[AFFECTED_SOP_INSTANCE_UID] = request.sop_instance_uid
    if comment:
        values[ERROR_COMMENT] = comment
    if request.field == Operation.N_ACTION:
        values[ACTION_TYPE_ID] = request.action_type
    return encode(values)
