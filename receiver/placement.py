"""From a complete file in ``incoming/`` to a durable event: the part that recovery shares.

The order is the receiver's promise: the file's final name is durable, then its event, and only
then does it leave ``incoming/``.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from dicom_pipeline.clock import iso_time
from dicom_pipeline.errors import PipelineError, TransientError
from dicom_pipeline.messages import Event, TransferStatus, uid_hash
from dicom_pipeline.storage import (
    check_uid,
    make_directories,
    newest,
    object_path,
    sync_directory,
    versioned,
)
from receiver.fields import KeyFields
from receiver.part10 import NotPart10Error, Receipt, content_digest, read_head

logger = logging.getLogger(__name__)

_ATTEMPTS: Final = 16
"""How often other associations may win the race for a name."""


class EventSink(Protocol):
    """Where an event becomes durable."""

    def add(self, events: Sequence[Event]) -> None:
        """Return once the events are durable, all or none."""


class Content(NamedTuple):
    """One received object, but for its bytes."""

    receipt: Receipt
    fields: KeyFields
    transfer_syntax_uid: str
    file_size: int
    """Of the file in ``incoming/``, head and all."""
    path: str
    """Where it belongs, relative to the storage root."""
    uid_findings: tuple[str, ...]


def content_of(
    receipt: Receipt, fields: KeyFields, transfer_syntax_uid: str, file_size: int
) -> Content:
    """What a receipt is about.

    Raises:
        InvalidUIDError: a UID cannot be used in a path.
    """
    findings = (
        *check_uid("SOPInstanceUID", fields.sop_instance_uid),
        *check_uid("StudyInstanceUID", fields.study_instance_uid),
        *check_uid("SeriesInstanceUID", fields.series_instance_uid),
    )
    path = object_path(
        receipt.tenant_id,
        fields.study_date,
        fields.study_instance_uid,
        fields.series_instance_uid,
        fields.sop_instance_uid,
    )
    return Content(receipt, fields, transfer_syntax_uid, file_size, path, findings)


class Placed(NamedTuple):
    """Where the content of a receipt lies."""

    path: str
    """Relative to the storage root."""
    duplicate_of: str | None
    """Trace id of the receipt that stored these bytes before, once its event is durable."""
    new: bool = False
    """Whether the file is this receipt's own."""


def find_same(root: Path, content: Content) -> Placed | None:
    """The newest file stored under the same UID, if it has the same bytes.

    While that file still has its entry in ``incoming/``, its event may not be durable: then this
    receipt is no duplicate, and its own event speaks for the file. A file with other bytes than its
    receipt says is damaged: to send the object again heals it, under a name with its version.
    A file that was placed late, by recovery or after a race, is not the current one though its name
    is the newest: its bytes are no duplicate either.
    """
    relative = content.path
    if not os.access(f"{root}/{relative}", os.F_OK):  # nearly always: a stat that fails is slower
        return None
    existing = newest(root / relative)
    try:
        head = read_head(existing)
    except NotPart10Error:
        return None
    if head.receipt and head.receipt.digest != content.receipt.digest:
        return None
    file = existing.stat()
    if content_digest(existing, head) != content.receipt.digest:
        if head.receipt:
            logger.error("stored file is damaged", extra={"path": relative, "bytes": file.st_size})
        return None
    if head.receipt and _received_after(root / relative, head.receipt.version):
        return None
    settled = file.st_nlink == 1
    first = head.receipt.trace_id if head.receipt and settled else None
    if first == content.receipt.trace_id:  # a copy, from a backup: both hold this very receipt
        first = None
    return Placed(str(existing.relative_to(root)), first)


def _received_after(path: Path, version: int) -> bool:
    """Whether the file under an object's plain name holds a later receipt than ``version``."""
    try:
        receipt = read_head(path).receipt
    except (NotPart10Error, FileNotFoundError):
        return False
    return receipt is not None and receipt.version > version


def place(root: Path, incoming: Path | str, content: Content) -> Placed:
    """Give a complete file its final name, or find the one that already has its content.

    The name's folder must exist. The caller makes the name durable by `sync_directory` of it.

    Raises:
        FileNotFoundError: the folder has gone.
        TransientError: other associations kept taking the names.
    """
    relative = content.path
    with suppress(FileExistsError):
        os.link(incoming, f"{root}/{relative}")  # nearly always the first of its name
        return Placed(relative, None, new=True)
    further = versioned(relative, content.receipt.version)
    for mine in (relative, further):
        if (root / mine).exists() and (root / mine).samefile(incoming):
            return Placed(mine, None, new=True)  # linked before a crash
    for _ in range(_ATTEMPTS):
        if same := find_same(root, content):
            return same
        name = _free_name(root, content) if (root / relative).exists() else relative
        try:
            os.link(incoming, root / name)
        except FileExistsError:
            continue  # another association was faster: compare with what it has brought
        return Placed(name, None, new=True)
    raise TransientError(f"no free name for {relative}: its folder changes too quickly")


def _free_name(root: Path, content: Content) -> str:
    """The name for further bytes under a UID.

    Two receivers may have given the same version to different bytes: the second one counts on.
    """
    names = (versioned(content.path, version) for version in count(content.receipt.version))
    return next(name for name in names if not (root / name).exists())


def event_for(content: Content, placed: Placed, file_size: int) -> Event:
    """The event of a receipt."""
    receipt, fields = content.receipt, content.fields
    day = fields.study_date
    duplicate = placed.duplicate_of is not None
    return Event(
        trace_id=receipt.trace_id,
        worker_node_id=receipt.worker_node_id,
        tenant_id=receipt.tenant_id,
        patient_id=fields.patient_id,
        study_uid=fields.study_instance_uid,
        series_uid=fields.series_instance_uid,
        sop_uid=fields.sop_instance_uid,
        file_size=file_size,
        file_path=placed.path,
        transfer_syntax_uid=content.transfer_syntax_uid,
        number_of_frames=fields.number_of_frames,
        created_time=iso_time(receipt.version),
        series_uid_hash=uid_hash(fields.series_instance_uid),
        study_uid_hash=uid_hash(fields.study_instance_uid),
        accession_number=fields.accession_number,
        target_ts=None,
        study_date=f"{day[:4]}-{day[4:6]}-{day[6:]}" if day else None,
        transfer_status=TransferStatus.NO_NEED if duplicate else TransferStatus.PENDING,
        source_ip=receipt.source_ip,
        source_ae=receipt.source_ae,
        version=receipt.version,
        digest=receipt.digest,
        file_name=placed.path.rpartition("/")[2],
        sop_class_uid=fields.sop_class_uid,
        duplicate_of=placed.duplicate_of,
        character_set=receipt.character_set,
        findings=(*content.uid_findings, *fields.findings),
    )


def finish_all(
    root: Path, files: Sequence[tuple[Path | str, Content]], outbox: EventSink
) -> list[Event | Exception]:
    """From complete files in ``incoming/`` to their durable events; may be done again.

    Returns:
        for each file its event, or why it has none: then it is still in ``incoming/``.

    Raises:
        OSError: a folder could not be synced; all files are still there.
        TransientError: the outbox did not take the events; all files are still there.
    """
    results: list[Event | Exception] = []
    folders: set[str] = set()
    for incoming, content in files:
        folder = content.path.rpartition("/")[0]
        try:
            if folder not in folders:
                make_directories(root / folder)
                folders.add(folder)
            results.append(_placed_event(root, incoming, content))
        except (OSError, PipelineError) as error:
            results.append(error)
    for folder in folders:
        sync_directory(root / folder)
    outbox.add([each for each in results if isinstance(each, Event)])
    for (incoming, _), result in zip(files, results, strict=True):
        if isinstance(result, Event):
            os.unlink(incoming)  # noqa: PTH108 - for every object: a Path would take longer
    return results


def _placed_event(root: Path, incoming: Path | str, content: Content) -> Event:
    placed = place(root, incoming, content)
    if placed.new:
        return event_for(content, placed, content.file_size)
    return event_for(content, placed, (root / placed.path).stat().st_size)


def finish(root: Path, incoming: Path, content: Content, outbox: EventSink) -> Event:
    """`finish_all` for one file.

    Raises:
        OSError, PipelineError: it could not be finished.
    """
    (result,) = finish_all(root, [(incoming, content)], outbox)
    if isinstance(result, Exception):
        raise result
    return result
