"""Part 10 files as the receiver writes them: the bytes received, behind a head of our own.

Group 0002 says, beside what PS3.10 7.1 asks for, everything that the data set does not: private
information (0002,0102) holds a `Receipt` as JSON, so that a rebuild needs nothing but the files.
"""

import hashlib
import struct
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from dicom_pipeline.errors import PermanentError

IMPLEMENTATION_CLASS_UID: Final = "2.25.187036146210963279180527934137450836081"
IMPLEMENTATION_VERSION_NAME: Final = "DICOM_PIPELINE_1"
PRIVATE_CREATOR_UID: Final = "2.25.187036146210963279180527934137450836082"
"""(0002,0100): says that (0002,0102) holds a `Receipt`."""

HEAD_BYTES: Final = 2048
"""Length of a head that we write, at least: there is room for it before what it says is known."""

_PREAMBLE: Final = b"\0" * 128 + b"DICM"
_READ_BYTES: Final = 1 << 16
_TAG: Final = struct.Struct("<HH2sH")
_LENGTH: Final = struct.Struct("<I")
_GROUP_LENGTH_BYTES: Final = 12
_LONG_HEADER_BYTES: Final = 12

_TRANSFER_SYNTAX_UID: Final = 0x0010
_PRIVATE_CREATOR: Final = 0x0100
_PRIVATE_INFORMATION: Final = 0x0102


def _element(element: int, vr: bytes, value: bytes) -> bytes:
    value += (b"\0" if vr == b"UI" else b" ") * (len(value) % 2)
    if vr == b"OB":
        return _TAG.pack(2, element, vr, 0) + _LENGTH.pack(len(value)) + value
    return _TAG.pack(2, element, vr, len(value)) + value


_IMPLEMENTATION: Final = _element(0x0012, b"UI", IMPLEMENTATION_CLASS_UID.encode()) + _element(
    0x0013, b"SH", IMPLEMENTATION_VERSION_NAME.encode()
)
_CREATOR: Final = _element(_PRIVATE_CREATOR, b"UI", PRIVATE_CREATOR_UID.encode())


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about an object only because it was received."""

    trace_id: str
    version: int
    tenant_id: str
    worker_node_id: str
    source_ip: str
    source_ae: str
    called_ae: str
    digest: str
    length: int
    """Bytes of the data set."""
    character_set: tuple[str, ...] = ()
    """Defined Terms that replaced the object's own, by the file of peers."""


class Head(msgspec.Struct, frozen=True):
    """The part of a file before its data set."""

    transfer_syntax_uid: str
    receipt: Receipt | None
    """None: not a file of a receiver."""
    offset: int
    """Where the data set begins."""


class NotPart10Error(PermanentError):
    """A file does not begin with a complete group 0002."""


def digest_of(transfer_syntax_uid: str) -> "hashlib._Hash":
    """The hash of an object's content, before its data set bytes are added."""
    return hashlib.sha256(transfer_syntax_uid.encode())


def digest(transfer_syntax_uid: str, data_set: bytes | memoryview) -> str:
    """SHA-256 (hex) of the transfer syntax UID and the data set bytes."""
    hasher = digest_of(transfer_syntax_uid)
    hasher.update(data_set)
    return hasher.hexdigest()


def encode_head(
    *,
    sop_class_uid: str,
    sop_instance_uid: str,
    transfer_syntax_uid: str,
    receipt: Receipt,
    size: int = HEAD_BYTES,
) -> bytes:
    """Preamble and group 0002, ``size`` bytes: what stands before the data set."""
    before, after = _of_association(sop_class_uid, transfer_syntax_uid, receipt.source_ae)
    instance = _element(0x0003, b"UI", sop_instance_uid.encode())
    length = size - len(_PREAMBLE) - _GROUP_LENGTH_BYTES
    room = length - len(before) - len(instance) - len(after) - _LONG_HEADER_BYTES
    information = msgspec.json.encode(receipt).ljust(room)
    group = before + instance + after + _element(_PRIVATE_INFORMATION, b"OB", information)
    if len(group) != length:
        raise ValueError(f"receipt {receipt.trace_id} does not fit the head of its file")
    return _PREAMBLE + _element(0x0000, b"UL", _LENGTH.pack(length)) + group


@lru_cache(maxsize=256)
def _of_association(
    sop_class_uid: str, transfer_syntax_uid: str, source_ae: str
) -> tuple[bytes, bytes]:
    """What the heads of many objects have before and behind their SOP Instance UID."""
    before = (
        _element(0x0001, b"OB", b"\0\1"),
        _element(0x0002, b"UI", sop_class_uid.encode()),
    )
    after = (
        _element(_TRANSFER_SYNTAX_UID, b"UI", transfer_syntax_uid.encode()),
        _IMPLEMENTATION,
        _element(0x0016, b"AE", source_ae.encode("ascii", "replace")),
        _CREATOR,
    )
    return b"".join(before), b"".join(after)


def read_head(path: Path) -> Head:
    """The head of a file.

    Raises:
        NotPart10Error: the file is cut off within its head, or no Part 10 file.
    """
    with path.open("rb") as file:
        start = file.read(_READ_BYTES)
    try:
        if not start.startswith(b"DICM", 128):
            raise NotPart10Error(f"{path.name}: no Part 10 file")
        (length,) = _LENGTH.unpack_from(start, len(_PREAMBLE) + _TAG.size)
        first = len(_PREAMBLE) + _GROUP_LENGTH_BYTES
        elements = dict(_elements(start[first : first + length]))
        if first + length > len(start):
            raise NotPart10Error(f"{path.name}: cut off within group 0002")
        receipt = None
        if elements.get(_PRIVATE_CREATOR, b"").rstrip(b"\0").decode() == PRIVATE_CREATOR_UID:
            receipt = msgspec.json.decode(elements[_PRIVATE_INFORMATION], type=Receipt)
        syntax = elements[_TRANSFER_SYNTAX_UID].rstrip(b"\0 ").decode("ascii")
    except (struct.error, KeyError, ValueError, msgspec.MsgspecError) as error:
        raise NotPart10Error(f"{path.name}: group 0002 is damaged") from error
    return Head(transfer_syntax_uid=syntax, receipt=receipt, offset=first + length)


def _elements(group: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(group):
        _, element, vr, length = _TAG.unpack_from(group, position)
        position += _TAG.size
        if vr in {b"OB", b"UN"}:
            (length,) = _LENGTH.unpack_from(group, position)
            position += _LENGTH.size
        yield element, group[position : position + length]
        position += length


def content_digest(path: Path, head: Head) -> str:
    """The digest of a file's content, computed from its bytes whatever its receipt says."""
    with path.open("rb", buffering=0) as file:
        file.seek(head.offset)
        return hashlib.file_digest(file, lambda: digest_of(head.transfer_syntax_uid)).hexdigest()
