"""One object's receipt: bytes in, status out. It knows nothing of the network."""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from dicom_pipeline.clock import HybridClock, trace_id_for
from dicom_pipeline.errors import TransientError
from dicom_pipeline.storage import INCOMING
from receiver.admission import Refusal, StoreRequest, check_fields, check_request
from receiver.failures import described
from receiver.fields import FieldReader, KeyFields
from receiver.finishing import Finisher
from receiver.incoming import IncomingObject, ObjectBuffer
from receiver.incoming_folder import IncomingFolder
from receiver.metrics import Metrics, Phase
from receiver.part10 import Receipt, encode_head
from receiver.placement import Content, EventSink, content_of, event_for, find_same
from receiver.readiness import free_bytes
from receiver.recent import Recent
from receiver.scan import UnreadableDataSetError
from receiver.statuses import Status

if TYPE_CHECKING:
    from dicom_pipeline.messages import Event

logger = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.1
"""How old a look at the free space, and at the threads behind us, may be."""
_FINISHER_PAUSE: Final = 0.1
"""Objects that come within this time share the syncs behind their acknowledgements."""
_FINISH_SECONDS: Final = 60.0
"""No sender waits longer for its object's event."""


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


class LivingSink(EventSink, Protocol):
    """One that can tell when it will take nothing any more."""

    def alive(self) -> bool:
        """Whether events can still be added."""


class Receiving:
    """Takes objects into the storage. May be used from any thread."""

    def __init__(  # noqa: PLR0913 - the parts that an object passes through
        self,
        *,
        root: Path,
        worker_node_id: str,
        outbox: LivingSink,
        clock: HybridClock,
        metrics: Metrics,
        min_free_bytes: int = 0,
        wait_for_event: bool = False,
    ) -> None:
        """Start the thread that finishes objects.

        Args:
            root: the storage root.
            worker_node_id: this receiver process.
            outbox: where events become durable.
            clock: gives the versions.
            metrics: counts.
            min_free_bytes: with less space objects are refused.
            wait_for_event: acknowledge an object only when its event is in the outbox too.
        """
        self.root = root
        self.incoming = IncomingFolder(root / INCOMING / worker_node_id)
        self.worker_node_id = worker_node_id
        self.outbox = outbox
        self.clock = clock
        self.metrics = metrics
        self._wait_for_event = wait_for_event
        self._min_free_bytes = min_free_bytes
        pause = 0 if wait_for_event else _FINISHER_PAUSE
        self.finisher = Finisher(root, outbox, metrics, self.incoming.leave, pause)
        self._has_resources = Recent(
            self._look_at_resources, busy=False, keep_seconds=_LOOK_SECONDS
        )

    def require_resources(self) -> None:
        """Let nothing in when the disk is nearly full, or nothing could be finished any more.

        Raises:
            Refusal: so it is.
        """
        if not self._has_resources():
            raise Refusal(Status.OUT_OF_RESOURCES)

    def _look_at_resources(self) -> bool:
        enough = free_bytes(self.root) >= self._min_free_bytes
        return enough and self.outbox.alive() and self.finisher.alive()

    def finish(self, path: str, content: Content) -> "Future[Event] | None":
        """Have a durable file finished; its event, when the sender has to wait for it."""
        done: Future[Event] | None = Future() if self._wait_for_event else None
        self.finisher.submit(path, content, done)
        return done

    def begin(
        self,
        sender: Sender,
        request: StoreRequest,
        buffer: ObjectBuffer,
        reader: FieldReader | None = None,
    ) -> "Reception":
        """A C-STORE request has come: its data set follows.

        Args:
            sender: who sends it.
            request: the request.
            buffer: the association's, whose objects come one after another.
            reader: the association's, too.
        """
        return Reception(self, sender, request, buffer, reader or FieldReader())

    def receive(
        self,
        sender: Sender,
        request: StoreRequest,
        data_set: bytes | memoryview,
        buffer: ObjectBuffer,
    ) -> Status:
        """Store an object that is in memory as a whole."""
        reception = self.begin(sender, request, buffer)
        reception.append(memoryview(data_set))
        return reception.finish()

    def stop(self) -> None:
        """Finish what was acknowledged; what comes later is refused."""
        self.incoming.stop_giving()
        self.finisher.stop()
        self.incoming.close()


class Reception:
    """One object that is being received.

    What is wrong with it is kept until its data set has come in full: only then may it be answered.
    """

    def __init__(
        self,
        receiving: Receiving,
        sender: Sender,
        request: StoreRequest,
        buffer: ObjectBuffer,
        reader: FieldReader,
    ) -> None:
        """Made by `Receiving.begin`."""
        self._receiving = receiving
        self._sender = sender
        self._request = request
        self._reader = reader
        self._version = receiving.clock.next()
        self._trace_id = trace_id_for(self._version)
        self._object = IncomingObject(
            partial(receiving.incoming.file_for, self._trace_id),
            request.transfer_syntax_uid,
            buffer,
        )
        self._fields: KeyFields | None = None
        self._failure: Exception | None = None
        self._done: Future[Event] | None = None
        self._length = 0
        self._phases = receiving.metrics.phases
        self._mark = time.perf_counter()
        self._attempt(self._check_request)

    def append(self, fragment: memoryview) -> None:
        """The next bytes of the data set, of any length."""
        self._length += len(fragment)
        while fragment and self._failure is None:
            room = self._object.room
            if not room:
                self._attempt(self._spill)
                continue
            self._object.append(fragment[:room])
            fragment = fragment[room:]

    def finish(self) -> Status:
        """The data set is complete. `Status.SUCCESS`: no crash can lose the object any more."""
        if self._failure is None:
            self._attempt(self._store)
        if self._done:
            try:
                self._done.result(_FINISH_SECONDS)
            except Exception as error:  # noqa: BLE001 - the file is recovery's now
                self._failure = error
        status = Status.SUCCESS if self._failure is None else self._answer(self._failure)
        if status is Status.SUCCESS and logger.isEnabledFor(logging.DEBUG):
            uid = {"sop_uid": self._request.sop_instance_uid}
            logger.debug("object received", extra={**self._context(), **uid})
        self._receiving.metrics.object_received(self._sender.tenant_id, status, self._length)
        return status

    def discard(self) -> None:
        """The data set will never be complete."""
        path = self._object.path
        self._object.discard()
        if path is not None:
            self._receiving.incoming.leave(path)

    def _attempt(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - the sender must have an answer
            self._failure = error
            self.discard()

    def _answer(self, failure: Exception) -> Status:
        context = self._context()
        if isinstance(failure, Refusal):
            logger.warning("object refused", extra={**context, "status": failure.status.name})
            return failure.status
        if isinstance(failure, OSError | TransientError):
            logger.error("object not stored", extra={**context, **described(failure)})
            return Status.OUT_OF_RESOURCES
        logger.error("object not stored: internal error", extra={**context, **described(failure)})
        return Status.INTERNAL

    def _context(self) -> dict[str, str]:
        return {
            "association": self._sender.association,
            "calling_ae": self._sender.calling_ae,
            "trace_id": self._trace_id,
        }

    def _check_request(self) -> None:
        check_request(self._request)
        self._receiving.require_resources()

    def _spill(self) -> None:
        """Move what came so far to the file, once it is known to be worth it."""
        if not self._object.spilled:
            self._fields = self._read_fields(self._object.in_memory, whole=False)
        self._receiving.require_resources()
        self._object.spill()

    def _read_fields(self, data_set: memoryview, *, whole: bool) -> KeyFields | None:
        """The key fields, as far as the beginning of a data set tells them.

        Raises:
            Refusal: they say that the object may not be stored.
        """
        syntax, terms = self._request.transfer_syntax_uid, self._sender.character_set
        try:
            fields = self._reader.read(data_set, syntax, terms)
        except UnreadableDataSetError as error:
            raise Refusal(Status.UNREADABLE) from error
        if not fields.past and not whole:  # what has come may end where an element does
            return None
        check_fields(fields, self._request)
        return fields

    def _store(self) -> None:
        self._end_phase("receive")
        stored = self._object
        if not stored.spilled:
            self._fields = self._read_fields(stored.in_memory, whole=True)
        digest = stored.digest()
        if self._fields is None:
            with stored.in_file() as data_set:
                self._fields = self._read_fields(data_set, whole=True)
        assert self._fields is not None
        stored.fit()
        content = content_of(
            self._receipt(digest),
            self._fields,
            self._request.transfer_syntax_uid,
            stored.head_bytes + self._length,
        )
        if self._is_known(content):
            self.discard()
            return
        stored.write(
            encode_head(
                sop_class_uid=self._fields.sop_class_uid,
                sop_instance_uid=self._fields.sop_instance_uid,
                transfer_syntax_uid=content.transfer_syntax_uid,
                receipt=content.receipt,
                size=stored.head_bytes,
            )
        )
        self._end_phase("write")
        # Before the final name can be durable: whatever has one without an event is found here.
        if stored.sync():
            self._receiving.incoming.require_open()
        else:
            self._receiving.incoming.sync()
        self._end_phase("sync")
        assert stored.path is not None
        self._done = self._receiving.finish(stored.path, content)

    def _receipt(self, digest: str) -> Receipt:
        sender = self._sender
        return Receipt(
            trace_id=self._trace_id,
            version=self._version,
            tenant_id=sender.tenant_id,
            worker_node_id=self._receiving.worker_node_id,
            source_ip=sender.source_ip,
            source_ae=sender.calling_ae,
            called_ae=sender.called_ae,
            digest=digest,
            length=self._length,
            character_set=sender.character_set,
        )

    def _is_known(self, content: Content) -> bool:
        """Whether the bytes are stored already; then only the receipt's event is new."""
        placed = find_same(self._receiving.root, content)
        if placed is None:
            return False
        size = (self._receiving.root / placed.path).stat().st_size
        self._receiving.outbox.add([event_for(content, placed, size)])
        self._receiving.metrics.duplicate_found(self._sender.tenant_id)
        return True

    def _end_phase(self, name: Phase) -> None:
        now = time.perf_counter()
        self._phases[name](now - self._mark)
        self._mark = now
