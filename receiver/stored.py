"""The event of a stored file, made again from nothing but the file.

What its receipt told is in its head, what the event says of the object is in its data set, so the
event is the one that the receiver has published. What is wrong with a file is told, not raised.
"""

import hashlib
import mmap
from pathlib import Path
from typing import Final

import msgspec

from dicom_pipeline.clock import trace_id_for, wall_clock_us
from dicom_pipeline.messages import UnreadableEventError, decode_event, encode
from dicom_pipeline.storage import InvalidUIDError
from receiver.fields import KeyFields, read_fields
from receiver.part10 import Head, NotPart10Error, Receipt, content_digest, read_head
from receiver.placement import Content, Placed, content_of, event_for
from receiver.scan import UnreadableDataSetError

ADOPTED_BY: Final = "reindex"
"""How ``worker_node_id`` names who took a file that no receiver has received."""

_MAPPED: Final = 256 << 20
"""No more of a file is mapped: the address space of a worker has a limit, objects may exceed it."""
_LEVELS: Final = 5
"""Parts of the path of an object that lies where it belongs."""


class Stored(msgspec.Struct, frozen=True):
    """A file that has an event."""

    tenant_id: str
    key: str
    """Of the event's messages."""
    value: bytes
    """The event as it is published."""
    file_size: int
    damage: str = ""
    """What is wrong with the file; its event says so as well."""
    adopted: bool = False
    """The file had no receipt: one was made up from its path, content and time of change."""


class LeftOut(msgspec.Struct, frozen=True):
    """A file that has none."""

    code: str
    """Stable: ``gone``, ``unreadable``, ``not_dicom``, ``no_receipt``, ``misplaced``, ``unfit``."""
    reason: str
    """For people; holds no values of the data set but UIDs."""


class Earlier(msgspec.Struct, frozen=True):
    """A file that was received before the time of interest."""


def read_stored(
    root: Path, relative: str, *, since: int = 0, verify: bool = False, adopt: bool = False
) -> Stored | LeftOut | Earlier:
    """The event of one file of the storage root.

    Args:
        root: the storage root.
        relative: the file's path below it, with forward slashes.
        since: leave it out when it was received before this time (µs since the epoch).
        verify: read the whole file and compare its digest with its receipt's.
        adopt: make up a receipt for a file that has none.
    """
    try:
        return _read(root, relative, since=since, verify=verify, adopt=adopt)
    except NotPart10Error as error:
        return LeftOut("not_dicom", str(error))
    except FileNotFoundError:
        return LeftOut("gone", "it was there a moment ago")
    except OSError as error:
        return LeftOut("unreadable", f"{type(error).__name__} {error.errno}: check disk and rights")


def _read(
    root: Path, relative: str, *, since: int, verify: bool, adopt: bool
) -> Stored | LeftOut | Earlier:
    path = root / relative
    head = read_head(path)
    if head.receipt is None:
        return _adopted(path, relative, head, since) if adopt else _foreign()
    if head.receipt.version < since:
        return Earlier()
    return _received(path, relative, head, head.receipt, verify=verify)


def _foreign() -> LeftOut:
    return LeftOut(
        "no_receipt",
        "no receiver has written it: send it to the receiver, or reindex with --adopt",
    )


def _received(
    path: Path, relative: str, head: Head, receipt: Receipt, *, verify: bool
) -> Stored | LeftOut:
    size = path.stat().st_size
    damage = ""
    if size != head.offset + receipt.length:
        damage = f"{size} bytes instead of {head.offset + receipt.length}"
    elif verify and content_digest(path, head) != receipt.digest:
        damage = "other bytes than its digest says"
    content = _content(path, head, receipt, size)
    if content is None or not _belongs(content, relative):
        if not damage and content_digest(path, head) == receipt.digest:
            return _misplaced(content)
        damage = damage or "other bytes than its digest says"
        content = _by_its_path(relative, head, receipt, size)
        if content is None:
            return _misplaced(content)
    return _told(content, relative, size, damage=damage)


def _adopted(path: Path, relative: str, head: Head, since: int) -> Stored | LeftOut | Earlier:
    status = path.stat()
    version = min(status.st_mtime_ns // 1000, wall_clock_us())
    if version < since:
        return Earlier()
    tenant, _, below = relative.partition("/")
    if not below:
        return LeftOut("misplaced", "it lies in no tenant's folder")
    digest = content_digest(path, head)
    mark = hashlib.sha256(f"{relative}\n{digest}".encode()).hexdigest()
    receipt = Receipt(
        # The same one whenever it is adopted, so that nothing is there twice.
        trace_id=f"{trace_id_for(version)[:19]}8{mark[:3]}-{mark[3:15]}",
        version=version,
        tenant_id=tenant,
        worker_node_id=ADOPTED_BY,
        source_ip="",
        source_ae="",
        called_ae="",
        digest=digest,
        length=status.st_size - head.offset,
    )
    content = _content(path, head, receipt, status.st_size)
    if content is None:
        return LeftOut("unfit", "its UIDs are missing or cannot be used")
    return _told(content, relative, status.st_size, adopted=True)


def _misplaced(content: Content | None) -> LeftOut:
    if content is None:
        return LeftOut("misplaced", "it lies where no receiver puts a file")
    return LeftOut("misplaced", f"its receipt belongs to {content.path}: move it there")


def _content(path: Path, head: Head, receipt: Receipt, size: int) -> Content | None:
    """What the receipt is about; None when the data set does not say which object it is."""
    try:
        fields = _fields(path, head, receipt, size)
        if not (fields.sop_instance_uid and fields.study_instance_uid):
            return None
        return content_of(receipt, fields, head.transfer_syntax_uid, size)
    except (UnreadableDataSetError, InvalidUIDError):
        return None


def _fields(path: Path, head: Head, receipt: Receipt, size: int) -> KeyFields:
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), min(size, _MAPPED), access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as whole,
        whole[head.offset :] as data_set,
    ):
        return read_fields(data_set, head.transfer_syntax_uid, receipt.character_set)


def _belongs(content: Content, relative: str) -> bool:
    """Whether the receiver gives this name to that content, see `placement.place`."""
    if relative == content.path:
        return True
    version = relative.removeprefix(content.path.removesuffix(".dcm") + "~").removesuffix(".dcm")
    return version.isdecimal() and int(version) >= content.receipt.version


def _by_its_path(relative: str, head: Head, receipt: Receipt, size: int) -> Content | None:
    """The object that a damaged file was, as far as its name tells."""
    parts = relative.split("/")
    if len(parts) != _LEVELS or parts[0] != receipt.tenant_id:
        return None
    _, day, study_uid, series_uid, name = parts
    fields = KeyFields(
        sop_class_uid="",
        sop_instance_uid=name.removesuffix(".dcm").partition("~")[0],
        study_instance_uid=study_uid,
        series_instance_uid=series_uid,
        patient_id="",
        accession_number="",
        study_date=day if day.strip("0") else "",
        number_of_frames=None,
        complete=False,
        past=False,
        findings=(),
    )
    try:
        content = content_of(receipt, fields, head.transfer_syntax_uid, size)
    except InvalidUIDError:
        return None
    return content if _belongs(content, relative) else None


def _told(
    content: Content, relative: str, size: int, *, damage: str = "", adopted: bool = False
) -> Stored | LeftOut:
    event = event_for(content, Placed(relative, None, new=True), size)
    if damage:
        findings = (*event.findings, f"stored file is damaged: {damage}")
        event = msgspec.structs.replace(event, findings=findings)
    value = encode(event)
    try:
        decode_event(value)
    except UnreadableEventError as error:  # names the field, not its value
        return LeftOut("unfit", str(error))
    return Stored(
        tenant_id=event.tenant_id,
        key=event.key,
        value=value,
        file_size=size,
        damage=damage,
        adopted=adopted,
    )
