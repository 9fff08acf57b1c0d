"""What a storage commitment request (N-ACTION, PS3.4 J.3.2) asks for, from bytes of a stranger."""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from io import BytesIO
from typing import Final, NamedTuple

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import Tag

from dicom_pipeline.imaging.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
)
from dicom_pipeline.storage import InvalidUIDError, check_uid

STORAGE_COMMITMENT_PUSH_MODEL: Final = "1.2.840.10008.1.20.1"
STORAGE_COMMITMENT_INSTANCE: Final = "1.2.840.10008.1.20.1.1"
"""The well-known SOP instance (PS3.4 J.3.5)."""
REQUEST_STORAGE_COMMITMENT: Final = 1
"""Action Type ID (PS3.4 table J.3-1)."""

TRANSFER_SYNTAXES: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_BIG_ENDIAN,
)
"""For presentation contexts of the service, best first. None is compressed: nothing can swell."""

MAX_BYTES: Final = 4 << 20
MAX_REFERENCES: Final = 20_000
"""They take 3.5 MB at the most."""
_ITEM: Final = {True: b"\xfe\xff\x00\xe0", False: b"\xff\xfe\xe0\x00"}
"""The tag of an item, by whether the syntax is little endian."""

_TAGS: Final = {
    keyword: Tag(keyword)
    for keyword in ("TransactionUID", "ReferencedSOPClassUID", "ReferencedSOPInstanceUID")
}


class ActionStatus(IntEnum):
    """What an N-ACTION is answered (PS3.7 10.1.4.1.10 and annex C)."""

    SUCCESS = 0x0000
    PROCESSING_FAILURE = 0x0110
    NO_SUCH_INSTANCE = 0x0112
    INVALID_ARGUMENT_VALUE = 0x0115
    NO_SUCH_CLASS = 0x0118
    NO_SUCH_ACTION = 0x0123
    RESOURCE_LIMITATION = 0x0213


class RefusedError(Exception):
    """A request is not taken, for the reason that the status tells."""

    def __init__(self, status: ActionStatus) -> None:
        super().__init__(status.name)
        self.status = status


class Reference(NamedTuple):
    """One object that is asked about."""

    sop_class_uid: str
    sop_instance_uid: str


class Request(NamedTuple):
    """The action information of one N-ACTION."""

    transaction_uid: str
    references: tuple[Reference, ...]
    """In the order of the request, each once."""


def check_action(requested_class: str, requested_instance: str, action_type: int | None) -> None:
    """Refuse what is no request for storage commitment.

    Raises:
        RefusedError: it asks for something else.
    """
    if requested_class != STORAGE_COMMITMENT_PUSH_MODEL:
        raise RefusedError(ActionStatus.NO_SUCH_CLASS)
    if requested_instance != STORAGE_COMMITMENT_INSTANCE:
        raise RefusedError(ActionStatus.NO_SUCH_INSTANCE)
    if action_type != REQUEST_STORAGE_COMMITMENT:
        raise RefusedError(ActionStatus.NO_SUCH_ACTION)


def parse(data_set: bytes | memoryview, transfer_syntax_uid: str) -> Request:
    """The action information in an encoded data set; what it holds beside is not looked at.

    Raises:
        RefusedError: it is too large, or not what PS3.4 table J.3-1 asks for.
    """
    if len(data_set) > MAX_BYTES:
        raise RefusedError(ActionStatus.RESOURCE_LIMITATION)
    if transfer_syntax_uid not in TRANSFER_SYNTAXES:
        raise RefusedError(ActionStatus.PROCESSING_FAILURE)
    encoded = bytes(data_set)
    little_endian = transfer_syntax_uid != EXPLICIT_VR_BIG_ENDIAN
    # Before pydicom makes a Dataset of each: of 8 bytes on the wire it takes 700 of memory.
    if encoded.count(_ITEM[little_endian]) > MAX_REFERENCES:
        raise RefusedError(ActionStatus.RESOURCE_LIMITATION)
    try:
        information = read_dataset(
            BytesIO(encoded),
            is_implicit_VR=transfer_syntax_uid == IMPLICIT_VR_LITTLE_ENDIAN,
            is_little_endian=little_endian,
            specific_tags=[Tag("TransactionUID"), Tag("ReferencedSOPSequence")],
        )
        transaction_uid = _uid(information, "TransactionUID")
        references = tuple(dict.fromkeys(_references(information.ReferencedSOPSequence)))
    except RefusedError:
        raise
    except Exception as error:  # pydicom raises all sorts for what it cannot read
        raise RefusedError(ActionStatus.INVALID_ARGUMENT_VALUE) from error
    if not references:
        raise RefusedError(ActionStatus.INVALID_ARGUMENT_VALUE)
    return Request(transaction_uid, references)


def _references(items: Sequence[Dataset]) -> Iterator[Reference]:
    for item in items:
        yield Reference(_uid(item, "ReferencedSOPClassUID"), _uid(item, "ReferencedSOPInstanceUID"))


def _uid(dataset: Dataset, keyword: str) -> str:
    """As it was encoded: to let pydicom convert thousands of values would take seconds."""
    value = dataset.get_item(_TAGS[keyword]).value
    if not isinstance(value, bytes):  # none
        raise RefusedError(ActionStatus.INVALID_ARGUMENT_VALUE)
    uid = value.decode("ascii").rstrip("\0 ")
    try:
        check_uid(keyword, uid)
    except InvalidUIDError as error:
        raise RefusedError(ActionStatus.INVALID_ARGUMENT_VALUE) from error
    return uid
