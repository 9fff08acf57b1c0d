"""One object's receipt: bytes in, status out. It knows nothing of the network."""

import logging
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.clock import HybridClock, trace_id_for
from dicom_pipeline.errors import TransientError
from dicom_pipeline.messages import Event
from dicom_pipeline.storage import (
    INCOMING,
    InvalidUIDError,
    check_uid,
    make_directories,
    sync_directory,
    write_new,
)
from receiver.failures import described
from receiver.fields import KeyFields, UnreadableDataSetError, read_fields
from receiver.part10 import Receipt, digest, encode_head
from receiver.placement import Content, EventSink, event_for, find_same, finish
from receiver.statuses import Status

logger = logging.getLogger(__name__)

_HEAD_ALLOWANCE: Final = 1 << 12


class Sender(NamedTuple):
    """Who sends: the same for all objects of an association."""

    association: str
    """Identifies the association in the logs."""
    tenant_id: str
    source_ip: str
    calling_ae: str
    called_ae: str
    character_set: tuple[str, ...] = ()
    """Defined Terms that replace the objects' own."""


class StoreRequest(NamedTuple):
    """One C-STORE request and its data set."""

    sop_class_uid: str
    """As the command says, like the next one."""
    sop_instance_uid: str
    abstract_syntax: str
    """As the presentation context says, like the next one."""
    transfer_syntax_uid: str
    data_set: bytes | memoryview


class Refusal(Exception):  # noqa: N818 - not an error of ours: an answer
    """The object is not taken, for the reason that the status tells."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.comment)
        self.status = status


class Receiving:
    """Takes objects into the storage. `receive` may be called from any thread."""

    def __init__(
        self,
        *,
        root: Path,
        worker_node_id: str,
        outbox: EventSink,
        clock: HybridClock,
        min_free_bytes: int = 0,
    ) -> None:
        """``root``: the storage root; ``min_free_bytes``: below it objects are refused."""
        self.root = root
        self.incoming = root / INCOMING / worker_node_id
        self._worker_node_id = worker_node_id
        self._outbox = outbox
        self._clock = clock
        self._min_free_bytes = min_free_bytes
        self._in_flight: set[str] = set()
        self._lock = threading.Lock()
        make_directories(self.incoming)

    def in_flight(self) -> frozenset[str]:
        """Trace ids of the objects that are being received: not recovery's business."""
        with self._lock:
            return frozenset(self._in_flight)

    def receive(self, sender: Sender, request: StoreRequest) -> Status:
        """Store one object. `Status.SUCCESS` means that file and event are on disk."""
        context = {"association": sender.association, "calling_ae": sender.calling_ae}
        try:
            event = self._receive(sender, request)
        except Refusal as refusal:
            logger.warning("object refused", extra={**context, "status": refusal.status.name})
            return refusal.status
        except (OSError, TransientError) as error:
            _log_failure("object not stored", error, context)
            return Status.OUT_OF_RESOURCES
        except Exception as error:  # noqa: BLE001 - the sender must have an answer
            _log_failure("object not stored: internal error", error, context)
            return Status.INTERNAL
        logger.info(
            "object received",
            extra={
                **context,
                "trace_id": event.trace_id,
                "sop_uid": event.sop_uid,
                "bytes": len(request.data_set),
                "duplicate": event.duplicate_of is not None,
            },
        )
        return Status.SUCCESS

    def _receive(self, sender: Sender, request: StoreRequest) -> Event:
        if request.sop_class_uid != request.abstract_syntax:
            raise Refusal(Status.CLASS_NOT_SUPPORTED)
        _require_uid(request.sop_instance_uid, Status.INVALID_INSTANCE)
        self._require_space(len(request.data_set))
        fields = _fields(request, sender.character_set)
        version = self._clock.next()
        receipt = Receipt(
            trace_id=trace_id_for(version),
            version=version,
            tenant_id=sender.tenant_id,
            worker_node_id=self._worker_node_id,
            source_ip=sender.source_ip,
            source_ae=sender.calling_ae,
            called_ae=sender.called_ae,
            digest=digest(request.transfer_syntax_uid, request.data_set),
            length=len(request.data_set),
            character_set=sender.character_set,
        )
        content = Content(receipt, fields, request.transfer_syntax_uid)
        if event := self._known(content):
            return event
        with self._lock:
            self._in_flight.add(receipt.trace_id)
        try:
            return self._store(content, request.data_set)
        finally:
            with self._lock:
                self._in_flight.discard(receipt.trace_id)

    def _require_space(self, length: int) -> None:
        disk = os.statvfs(self.root)
        if disk.f_bavail * disk.f_frsize < self._min_free_bytes + length + _HEAD_ALLOWANCE:
            raise Refusal(Status.OUT_OF_RESOURCES)

    def _known(self, content: Content) -> Event | None:
        """The receipt of bytes that are stored already: nothing is written but its event."""
        placed = find_same(self.root, content)
        if placed is None:
            return None
        event = event_for(content, placed, (self.root / placed.path).stat().st_size)
        self._outbox.add(event)
        return event

    def _store(self, content: Content, data_set: bytes | memoryview) -> Event:
        head = encode_head(
            sop_class_uid=content.fields.sop_class_uid,
            sop_instance_uid=content.fields.sop_instance_uid,
            transfer_syntax_uid=content.transfer_syntax_uid,
            receipt=content.receipt,
        )
        incoming = self.incoming / f"{content.receipt.trace_id}.dcm"
        try:
            write_new(incoming, (head, data_set))
        except OSError:
            incoming.unlink(missing_ok=True)
            raise
        # Before the final name can be durable: whatever has one without an event is found here.
        sync_directory(self.incoming)
        return finish(self.root, incoming, content, self._outbox)


def _log_failure(message: str, error: Exception, context: dict[str, str]) -> None:
    logger.error(message, extra={**context, **described(error)})


def _fields(request: StoreRequest, character_set: Sequence[str]) -> KeyFields:
    """The key fields of an object that may be stored.

    Raises:
        Refusal: it may not.
    """
    try:
        fields = read_fields(request.data_set, request.transfer_syntax_uid, character_set)
    except UnreadableDataSetError as error:
        raise Refusal(Status.UNREADABLE) from error
    for value, missing in (
        (fields.sop_class_uid, Status.NO_SOP_CLASS),
        (fields.sop_instance_uid, Status.NO_SOP_INSTANCE),
        (fields.study_instance_uid, Status.NO_STUDY),
        (fields.series_instance_uid, Status.NO_SERIES),
    ):
        if not value:
            raise Refusal(missing if fields.complete else Status.UNREADABLE)
    if fields.sop_class_uid != request.sop_class_uid:
        raise Refusal(Status.CLASS_MISMATCH)
    if fields.sop_instance_uid != request.sop_instance_uid:
        raise Refusal(Status.INSTANCE_MISMATCH)
    _require_uid(fields.study_instance_uid, Status.INVALID_STUDY)
    _require_uid(fields.series_instance_uid, Status.INVALID_SERIES)
    return fields


def _require_uid(uid: str, otherwise: Status) -> None:
    try:
        check_uid("UID", uid)
    except InvalidUIDError as error:
        raise Refusal(otherwise) from error
