"""Associations served by pynetdicom's own loop, through its public events: slower, and the measure.

An object is in memory as a whole before the handler sees it.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable
from io import BytesIO
from typing import Any
from weakref import WeakKeyDictionary

from pydicom.dataset import Dataset
from pynetdicom import evt, register_uid
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE, N_ACTION
from pynetdicom.pdu import A_ABORT_RQ, P_DATA_TF
from pynetdicom.service_class import ServiceClass, StorageServiceClass
from pynetdicom.sop_class import uid_to_service_class

from dicom_pipeline.settings import Settings
from receiver.admission import StoreRequest
from receiver.commitment.reports import AssociationReporter
from receiver.endings import tell_end
from receiver.incoming import ObjectBuffer
from receiver.metrics import AssociationResult, Metrics
from receiver.polled_socket import connection_of
from receiver.receipt import Receiving, Sender
from receiver.session import Actions
from receiver.statuses import Status
from receiver.wire import RENEW_BYTES

logger = logging.getLogger(__name__)


def serve_as_storage(sop_classes: Iterable[str]) -> None:
    """Have pynetdicom hand over objects of classes that it does not know: private or new ones."""
    for sop_class in sop_classes:
        if uid_to_service_class(sop_class) is ServiceClass:
            keyword = re.sub(r"\W", "_", f"Storage_{sop_class}")
            register_uid(sop_class, keyword, StorageServiceClass)


class _State:
    """What is known about an established association."""

    def __init__(self, sender: Sender) -> None:
        self.sender = sender
        self.buffer = ObjectBuffer()
        self.objects = 0
        self.bytes = 0
        self.message_bytes = 0
        self.renewed_at = 0.0
        """When the message began, or its last `RENEW_BYTES` had come, by `time.monotonic`."""
        self.renew_at_bytes = 0
        self.busy = False
        self.end: AssociationResult = "connection_lost"


class PublicLoop:
    """Answers pynetdicom's events."""

    def __init__(
        self,
        settings: Settings,
        receiving: Receiving,
        metrics: Metrics,
        sender_of: Callable[[Association], Sender | None],
        actions: Actions,
    ) -> None:
        """``sender_of``: who has requested an association."""
        self._settings = settings
        self._receiving = receiving
        self._metrics = metrics
        self._sender_of = sender_of
        self._actions = actions
        self._states: WeakKeyDictionary[Association, _State] = WeakKeyDictionary()

    def handlers(self) -> list[evt.EventHandlerType]:
        """What pynetdicom is to call."""
        return [
            (evt.EVT_ESTABLISHED, self._on_established),
            (evt.EVT_PDU_RECV, self._on_pdu),
            (evt.EVT_DIMSE_RECV, self._on_message),
            (evt.EVT_DIMSE_SENT, self._on_sent),
            (evt.EVT_C_STORE, self._on_store),
            (evt.EVT_N_ACTION, self._on_action),
            (evt.EVT_RELEASED, self._on_released),
            (evt.EVT_ABORTED, self._on_aborted),
            (evt.EVT_CONN_CLOSE, self._on_closed),
        ]

    def stop(self) -> None:
        """End the associations that are not between a C-STORE request and its response."""
        for reference in self._states.keyrefs():  # a copy: other threads come and go meanwhile
            association = reference()
            state = association and self._states.get(association)
            if association and state and not state.busy:
                state.end = "stopped"
                association.abort()

    def _on_established(self, event: evt.Event) -> None:
        sender = self._sender_of(event.assoc)
        if sender is not None and connection_of(event.assoc) is not None:
            event.assoc.network_timeout = self._settings.receiver_idle_timeout_seconds
            self._states[event.assoc] = _State(sender)
            self._metrics.association_opened()

    def _on_pdu(self, event: evt.Event) -> None:
        """Abort when a message grows too large: pynetdicom keeps it in memory until its end."""
        state, pdu = self._states.get(event.assoc), event.pdu
        if state is None:
            return
        if isinstance(pdu, A_ABORT_RQ) and state.end == "connection_lost":
            state.end = "aborted_by_peer"  # the connection may close before EVT_ABORTED
        if not isinstance(pdu, P_DATA_TF):
            return
        if state.message_bytes == 0:
            state.renewed_at, state.renew_at_bytes = time.monotonic(), RENEW_BYTES
        state.message_bytes += sum(
            len(item.presentation_data_value or b"") for item in pdu.presentation_data_value_items
        )
        if state.message_bytes >= state.renew_at_bytes:
            state.renewed_at = time.monotonic()
            state.renew_at_bytes = state.message_bytes + RENEW_BYTES
        elif time.monotonic() > state.renewed_at + self._settings.receiver_network_timeout_seconds:
            state.end = "timeout"
            event.assoc.abort()
        if state.message_bytes > self._settings.receiver_max_object_bytes:
            self._limit(event.assoc, state, "its object is larger than RECEIVER_MAX_OBJECT_BYTES")

    def _limit(self, association: Association, state: _State, reason: str) -> None:
        logger.warning(
            "association aborted: %s",
            reason,
            extra={"association": state.sender.association, "calling_ae": state.sender.calling_ae},
        )
        state.end = "limit"
        association.abort()

    def _on_message(self, event: evt.Event) -> None:
        """Answer a C-STORE without an instance UID: pynetdicom would only drop it."""
        state = self._states.get(event.assoc)
        if state is None:
            return
        state.message_bytes = 0
        message = event.message
        if not isinstance(message, C_STORE_RQ) or message.context_id is None:
            return
        command = message.command_set
        if command.get("AffectedSOPInstanceUID"):
            state.busy = True
            return
        response: Any = C_STORE()
        response.MessageIDBeingRespondedTo = command.MessageID
        response.AffectedSOPClassUID = command.get("AffectedSOPClassUID")
        response.Status = Status.INVALID_INSTANCE.code
        response.ErrorComment = Status.INVALID_INSTANCE.comment
        event.assoc.dimse.send_msg(response, message.context_id)

    def _on_store(self, event: evt.Event) -> Dataset | int:
        state = self._states.get(event.assoc)
        if state is None:
            return _response(Status.NOT_AUTHORISED)
        request = event.request
        assert isinstance(request, C_STORE)
        data_set = (request.DataSet or BytesIO()).getbuffer()
        limits = self._settings
        if (
            0 < limits.receiver_max_association_objects <= state.objects
            or 0 < limits.receiver_max_association_bytes <= state.bytes
        ):
            self._limit(event.assoc, state, "it has brought as much as it may")
            return _response(Status.OUT_OF_RESOURCES)
        state.objects += 1
        state.bytes += len(data_set)
        return _response(
            self._receiving.receive(
                state.sender,
                StoreRequest(
                    sop_class_uid=_clean(request.AffectedSOPClassUID),
                    sop_instance_uid=_clean(request.AffectedSOPInstanceUID),
                    abstract_syntax=_clean(event.context.abstract_syntax),
                    transfer_syntax_uid=_clean(event.context.transfer_syntax),
                ),
                data_set,
                state.buffer,
            )
        )

    def _on_action(self, event: evt.Event) -> tuple[int, None]:
        state = self._states.get(event.assoc)
        request = event.request
        assert isinstance(request, N_ACTION)
        if state is None:
            return Status.NOT_AUTHORISED.code, None
        status = self._actions.handle_action(
            state.sender,
            _clean(request.RequestedSOPClassUID),
            _clean(request.RequestedSOPInstanceUID),
            request.ActionTypeID or 0,
            (request.ActionInformation or BytesIO()).getvalue(),
            _clean(event.context.transfer_syntax),
            AssociationReporter(event.assoc),
        )
        return status, None

    def _on_sent(self, event: evt.Event) -> None:
        if state := self._states.get(event.assoc):
            state.busy = False

    def _on_released(self, event: evt.Event) -> None:
        if state := self._states.get(event.assoc):
            state.end = "released"

    def _on_aborted(self, event: evt.Event) -> None:
        """By either side; what came in full is not stored any more."""
        self._end(event.assoc)

    def _on_closed(self, event: evt.Event) -> None:
        self._end(event.assoc)

    def _end(self, association: Association) -> None:
        state = self._states.pop(association, None)
        if state is None:
            return
        tell_end(self._metrics, state.sender, state.end, state.objects, state.bytes)


def _clean(uid: object) -> str:
    return str(uid or "").rstrip("\0 ")


def _response(status: Status) -> Dataset | int:
    if not status.comment:
        return status.code
    response = Dataset()
    response.Status = status.code
    response.ErrorComment = status.comment
    return response
