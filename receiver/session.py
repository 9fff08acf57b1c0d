"""One association's P-DATA, from its establishment to its end: our own loop, in one thread.

It is given a connected socket and the accepted contexts: who negotiated them does not matter here.
"""

import logging
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Final, NamedTuple, Protocol

from receiver.admission import StoreRequest
from receiver.commands import (
    AFFECTED_SOP_CLASS_UID,
    AFFECTED_SOP_INSTANCE_UID,
    COMMAND_BYTES,
    COMMAND_DATA_SET_TYPE,
    COMMAND_FIELD,
    DATA_SET,
    EVENT_TYPE_ID,
    MESSAGE_ID,
    RESPONSE,
    Command,
    CommandError,
    Operation,
    decode,
    encode,
    response,
)
from receiver.commitment.reports import Reporter
from receiver.commitment.requests import (
    STORAGE_COMMITMENT_INSTANCE,
    STORAGE_COMMITMENT_PUSH_MODEL,
)
from receiver.event_reports import EventReports, SessionReporter
from receiver.fields import FieldReader
from receiver.incoming import ObjectBuffer
from receiver.metrics import AssociationResult
from receiver.receipt import Receiving, Reception, Sender
from receiver.statuses import Status
from receiver.wire import (
    A_ABORT,
    A_RELEASE_RQ,
    ABORT_SERVICE_PROVIDER,
    ABORT_SERVICE_USER,
    COMMAND,
    LAST,
    NOT_SPECIFIED,
    P_DATA_TF,
    PDV,
    UNEXPECTED_PDU,
    ConnectionLostError,
    IdleError,
    ProtocolError,
    TooSlowError,
    Wire,
    abort,
    message,
    release_response,
    split,
)

logger = logging.getLogger(__name__)

_SERVICES: Final = frozenset({"1.2.840.10008.1.1", STORAGE_COMMITMENT_PUSH_MODEL})
"""Abstract syntaxes that no object can be of: Verification is the first."""
_UNRECOGNISED_OPERATION: Final = 0x0211
"""PS3.7 C.5.11."""
_ACTION_BYTES: Final = 1 << 24
"""No action information is longer: about 100,000 referenced objects."""


class Context(NamedTuple):
    """An accepted presentation context."""

    abstract_syntax: str
    transfer_syntax_uid: str


class Limits(NamedTuple):
    """What one association may bring; 0: as much as it likes."""

    object_bytes: int
    objects: int = 0
    bytes: int = 0


class Actions(Protocol):
    """Who answers N-ACTION requests: the Storage Commitment SCP."""

    def handle_action(  # noqa: PLR0913, PLR0917 - the parameters of an N-ACTION
        self,
        sender: Sender,
        requested_class: str,
        requested_instance: str,
        action_type: int,
        data_set: bytes,
        transfer_syntax: str,
        reporter: Reporter,
    ) -> int:
        """The status of the response; ``reporter`` may be used once that was sent."""


class _LimitError(Exception):
    """The association brings more than it may. Ends it."""


class Session:
    """Serves one association."""

    def __init__(  # noqa: PLR0913 - the parts of an association
        self,
        wire: Wire,
        sender: Sender,
        contexts: Mapping[int, Context],
        *,
        receiving: Receiving,
        limits: Limits,
        actions: Actions | None = None,
        peer_max_pdu: int = 0,
    ) -> None:
        """``contexts``: by ID; ``peer_max_pdu``: longest PDU that the requestor takes, 0: any."""
        self.sender = sender
        self.objects = 0
        self.bytes = 0
        """Of the data sets of all objects."""
        self._wire = wire
        self._contexts = contexts
        self._receiving = receiving
        self._limits = limits
        self._actions = actions
        self._peer_max_pdu = peer_max_pdu
        self._buffer = ObjectBuffer()
        self._reader = FieldReader()
        self._command = bytearray()
        self._request: Command | None = None
        """The command whose data set is coming."""
        self._context_id = 0
        self._reception: Reception | None = None
        self._information = bytearray()
        self._message_bytes = 0
        self._sending = threading.Lock()
        self._reports = EventReports()
        self._stopping = False
        self._state = threading.Lock()
        """Held while it changes whether a message is under way."""
        self._busy = False

    def serve(self) -> AssociationResult:
        """Serve until the association ends; the caller closes the connection."""
        try:
            return self._serve()
        except ConnectionLostError:
            if self._stopping:  # it was we who ended the reading: the peer is still there
                return self._abort("stopped", ABORT_SERVICE_USER)
            return "connection_lost"
        except IdleError:
            return self._abort("idle", ABORT_SERVICE_USER)
        except TooSlowError:
            return self._abort("timeout", ABORT_SERVICE_USER)
        except _LimitError as error:
            self._tell("association aborted: %s", error)
            return self._abort("limit", ABORT_SERVICE_USER)
        except ProtocolError as error:
            self._tell("association aborted: %s", error)
            return self._abort("protocol_error", ABORT_SERVICE_PROVIDER, error.reason)
        finally:
            if self._reception:
                self._reception.discard()
            with self._sending:
                self._reports.end()

    def stop(self) -> None:
        """End the association after the message that is under way, if any."""
        with self._state:
            self._stopping = True
            if not self._busy:
                self._wire.end_reading()

    def send_event_report(self, context_id: int, event_type: int, data_set: bytes) -> Future[int]:
        """Send an N-EVENT-REPORT request for storage commitment, from any thread.

        Args:
            context_id: the accepted context that it belongs to.
            event_type: Event Type ID.
            data_set: the event information, in the context's transfer syntax.

        Returns:
            The response's status, or `ConnectionError` when the association ends without one.

        Raises:
            ConnectionLostError: it cannot be sent.
        """
        with self._sending:
            number, report = self._reports.begin()
            command = encode(
                {
                    AFFECTED_SOP_CLASS_UID: STORAGE_COMMITMENT_PUSH_MODEL,
                    COMMAND_FIELD: Operation.N_EVENT_REPORT,
                    MESSAGE_ID: number,
                    COMMAND_DATA_SET_TYPE: DATA_SET,
                    AFFECTED_SOP_INSTANCE_UID: STORAGE_COMMITMENT_INSTANCE,
                    EVENT_TYPE_ID: event_type,
                }
            )
            self._wire.send(message(context_id, command, data_set, self._peer_max_pdu))
        return report

    def _serve(self) -> AssociationResult:
        while True:
            kind, body = self._wire.read()
            if kind == P_DATA_TF:
                for value in split(body):
                    self._take(value)
            elif kind == A_RELEASE_RQ:
                return self._release()
            elif kind == A_ABORT:
                return "aborted_by_peer"
            else:
                raise ProtocolError(f"PDU of type {kind} without a request", UNEXPECTED_PDU)
            if self._stopping and not self._busy:
                return self._abort("stopped", ABORT_SERVICE_USER)

    def _release(self) -> AssociationResult:
        if self._busy:
            raise ProtocolError("A-RELEASE-RQ within a message", UNEXPECTED_PDU)
        with self._sending:
            self._wire.send(release_response())
        return "released"

    def _abort(
        self, end: AssociationResult, source: int, reason: int = NOT_SPECIFIED
    ) -> AssociationResult:
        try:
            self._wire.send(abort(source, reason))
        except ConnectionLostError:
            logger.debug("association could not be aborted", extra=self._context())
        return end

    def _take(self, value: PDV) -> None:
        """One fragment of a command or of a data set (PS3.7 6.3, PS3.8 annex E)."""
        if value.control & COMMAND:
            self._take_command(value)
        elif self._request is None:
            raise ProtocolError("data set without a command")
        elif value.context_id != self._context_id:
            raise ProtocolError("data set in another presentation context than its command")
        else:
            self._take_data(value)

    def _take_command(self, value: PDV) -> None:
        if self._request is not None:
            raise ProtocolError("command before the end of the data set")
        if self._command and value.context_id != self._context_id:
            raise ProtocolError("command in two presentation contexts")
        if value.context_id not in self._contexts:
            raise ProtocolError(f"presentation context {value.context_id} was not accepted")
        with self._state:
            self._busy = True
        self._context_id = value.context_id
        self._command += value.fragment
        if len(self._command) > COMMAND_BYTES:
            raise ProtocolError("command set without an end")
        if value.control & LAST:
            command, self._command = self._command, bytearray()
            try:
                self._begin(decode(command))
            except CommandError as error:
                raise ProtocolError(str(error)) from error

    def _begin(self, request: Command) -> None:
        """A complete command: it is the whole message, or a data set follows."""
        context = self._contexts[self._context_id]
        if request.field == Operation.C_STORE and context.abstract_syntax not in _SERVICES:
            self._begin_object(request, context)
        if request.has_data_set:
            self._request = request
        else:
            self._end_message(request)

    def _begin_object(self, request: Command, context: Context) -> None:
        if 0 < self._limits.objects <= self.objects:
            raise _LimitError(f"it may bring {self._limits.objects} objects")
        if 0 < self._limits.bytes <= self.bytes:
            raise _LimitError(f"it may bring {self._limits.bytes} bytes")
        self._reception = self._receiving.begin(
            self.sender,
            StoreRequest(
                sop_class_uid=request.sop_class_uid,
                sop_instance_uid=request.sop_instance_uid,
                abstract_syntax=context.abstract_syntax,
                transfer_syntax_uid=context.transfer_syntax_uid,
            ),
            self._buffer,
            self._reader,
        )

    def _take_data(self, value: PDV) -> None:
        request = self._request
        assert request is not None
        self._message_bytes += len(value.fragment)
        if self._reception:
            if self._message_bytes > self._limits.object_bytes:
                raise _LimitError(f"its object is larger than {self._limits.object_bytes} bytes")
            self._reception.append(value.fragment)
        elif request.field == Operation.N_ACTION:
            if self._message_bytes > _ACTION_BYTES:
                raise _LimitError(f"its action is larger than {_ACTION_BYTES} bytes")
            self._information += value.fragment
        if value.control & LAST:
            self._request = None
            self._end_message(request)

    def _end_message(self, request: Command) -> None:
        """Act on a message that has come in full, and answer it."""
        self._answer(request)
        self._information.clear()
        self._message_bytes = 0
        self._wire.between_messages()
        with self._state:
            self._busy = False

    def _answer(self, request: Command) -> None:
        if self._reception:
            reception, self._reception = self._reception, None
            self.objects += 1
            self.bytes += self._message_bytes
            status = reception.finish()
            self._respond(request, status.code, status.comment)
        elif request.field == Operation.C_ECHO:
            self._respond(request, Status.SUCCESS.code)
        elif request.field == Operation.N_ACTION and self._actions:
            self._act(request, self._actions)
        elif request.field == Operation.N_EVENT_REPORT | RESPONSE:
            self._reports.answered(request.responded_to, request.status)
        elif not request.field & RESPONSE and request.field != Operation.C_CANCEL:
            self._respond(request, _UNRECOGNISED_OPERATION)

    def _act(self, request: Command, actions: Actions) -> None:
        context = self._contexts[self._context_id]
        with self._sending:  # no report before the response
            status = actions.handle_action(
                self.sender,
                request.sop_class_uid,
                request.sop_instance_uid,
                request.action_type,
                bytes(self._information),
                context.transfer_syntax_uid,
                SessionReporter(self, self._context_id, context.transfer_syntax_uid),
            )
            self._send(response(request, status))

    def _respond(self, request: Command, status: int, comment: str = "") -> None:
        with self._sending:
            self._send(response(request, status, comment))

    def _send(self, command: bytes) -> None:
        self._wire.send(message(self._context_id, command, max_pdu=self._peer_max_pdu))

    def _tell(self, text: str, error: Exception) -> None:
        logger.warning(text, error, extra=self._context())

    def _context(self) -> dict[str, str]:
        return {"association": self.sender.association, "calling_ae": self.sender.calling_ae}
