"""The touch points with pynetdicom: negotiation, policy, and C-STORE handed to `Receiving`."""

import logging
import uuid
from functools import lru_cache
from io import BytesIO
from typing import Any, Final
from weakref import WeakKeyDictionary

import pydicom.config
from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, _config, build_context, evt
from pynetdicom.association import Association
from pynetdicom.dimse_messages import C_STORE_RQ
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicom_pipeline.peers import Peers
from dicom_pipeline.settings import Settings
from receiver.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from receiver.receipt import Receiving, Sender, StoreRequest
from receiver.statuses import Status
from receiver.syntaxes import preference

logger = logging.getLogger(__name__)

_REJECTED_PERMANENT: Final = 1
_SERVICE_USER: Final = 1
_CALLING_NOT_RECOGNISED: Final = 3
_CALLED_NOT_RECOGNISED: Final = 7
"""A-ASSOCIATE-RJ: PS3.8 9.3.4."""


def quiet_libraries() -> None:
    """Keep pynetdicom and pydicom from judging, and from logging what they receive.

    Their checks would warn about or refuse UIDs before `receiver.receipt` can answer with a
    status; their log lines may hold attributes of patients.
    """
    _config.LOG_HANDLER_LEVEL = "none"
    _config.VALIDATORS["UI"] = lambda _: (True, "")
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    pydicom.config.settings.writing_validation_mode = pydicom.config.IGNORE
    for name in ("pynetdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


@lru_cache(maxsize=256)
def storage_contexts(
    first: tuple[str, ...], further: tuple[str, ...]
) -> tuple[PresentationContext, ...]:
    """Verification and every storage SOP class, with the accepted transfer syntaxes in order."""
    syntaxes = list(preference(first, further))
    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    return (
        build_context(Verification),
        *(build_context(sop_class, syntaxes) for sop_class in classes),
    )


class StorageProvider:
    """The Storage SCP: listens, decides who may send, and answers each C-STORE."""

    def __init__(self, settings: Settings, peers: Peers, receiving: Receiving) -> None:
        """Nothing listens before `start`."""
        self._settings = settings
        self._peers = peers
        self._receiving = receiving
        self._senders: WeakKeyDictionary[Association, Sender] = WeakKeyDictionary()
        self._busy: set[Association] = set()
        self._received: WeakKeyDictionary[Association, int] = WeakKeyDictionary()
        """Bytes of each association's unfinished message."""
        self._server: Any = None

    def start(self) -> int:
        """Listen, and return the port.

        Raises:
            OSError: the address cannot be bound.
        """
        entity = AE(ae_title=self._settings.receiver_ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.maximum_pdu_size = self._settings.receiver_max_pdu_bytes
        entity.maximum_associations = self._settings.receiver_max_associations
        entity.network_timeout = self._settings.receiver_network_timeout_seconds
        entity.dimse_timeout = self._settings.receiver_network_timeout_seconds
        self._server = entity.start_server(
            (self._settings.receiver_host, self._settings.receiver_port),
            block=False,
            # Copied for each connection, so only one: the real ones are set once it is known
            # whose association it is.
            contexts=[build_context(Verification)],
            evt_handlers=[
                (evt.EVT_REQUESTED, self._on_requested),
                (evt.EVT_PDU_RECV, self._on_pdu),
                (evt.EVT_DIMSE_RECV, self._on_message),
                (evt.EVT_DIMSE_SENT, self._on_sent),
                (evt.EVT_C_STORE, self._on_store),
                (evt.EVT_ABORTED, self._on_end),
                (evt.EVT_CONN_CLOSE, self._on_end),
            ],
        )
        return int(self._server.socket.getsockname()[1])

    def stop_listening(self) -> None:
        """Take no more associations."""
        self._server.shutdown()

    def associations(self) -> list[Association]:
        """Those that stand."""
        return list(self._server.active_associations)

    def abort_idle(self) -> None:
        """End the associations that are not between a C-STORE request and its response."""
        for association in self.associations():
            if association not in self._busy:
                association.abort()

    def _on_requested(self, event: evt.Event) -> None:
        association = event.assoc
        request = association.requestor.primitive
        assert request is not None
        address = association.requestor.address
        calling, called = request.calling_ae_title.strip(), request.called_ae_title.strip()
        peer = self._peers.find(address, calling, called)
        if peer is None:
            known = any(
                each.matches(address, calling, each.called_ae or called)
                for each in self._peers.peer
            )
            logger.warning(
                "association rejected", extra={"calling_ae": calling, "source_ip": address}
            )
            association.acse.send_reject(
                _REJECTED_PERMANENT,
                _SERVICE_USER,
                _CALLED_NOT_RECOGNISED if known else _CALLING_NOT_RECOGNISED,
            )
            association.kill()
            return
        association.acceptor.supported_contexts = list(
            storage_contexts(
                peer.transfer_syntaxes, self._settings.receiver_private_transfer_syntaxes
            )
        )
        sender = Sender(
            association=uuid.uuid4().hex[:12],
            tenant_id=peer.tenant,
            source_ip=address,
            calling_ae=calling,
            called_ae=called,
            character_set=peer.character_set or (),
        )
        self._senders[association] = sender
        logger.info("association requested", extra=sender._asdict())

    def _on_pdu(self, event: evt.Event) -> None:
        """Abort when a message grows too large: pynetdicom keeps it in memory until its end."""
        association, pdu = event.assoc, event.pdu
        if not isinstance(pdu, P_DATA_TF):
            return
        received = self._received.get(association, 0) + sum(
            len(item.presentation_data_value or b"") for item in pdu.presentation_data_value_items
        )
        self._received[association] = received
        sender = self._senders.get(association)
        if received > self._settings.receiver_max_object_bytes and sender is not None:
            logger.error(
                "association aborted: its object is larger than RECEIVER_MAX_OBJECT_BYTES",
                extra={
                    "association": sender.association,
                    "calling_ae": sender.calling_ae,
                    "bytes": received,
                },
            )
            association.abort()  # also ends `sender`: what came in full is not stored

    def _on_message(self, event: evt.Event) -> None:
        """Answer a C-STORE without an instance UID: pynetdicom would only drop it."""
        self._received[event.assoc] = 0
        message = event.message
        if not isinstance(message, C_STORE_RQ) or message.context_id is None:
            return
        command = message.command_set
        if command.get("AffectedSOPInstanceUID"):
            self._busy.add(event.assoc)
            return
        response: Any = C_STORE()
        response.MessageIDBeingRespondedTo = command.MessageID
        response.AffectedSOPClassUID = command.get("AffectedSOPClassUID")
        response.Status = Status.INVALID_INSTANCE.code
        response.ErrorComment = Status.INVALID_INSTANCE.comment
        event.assoc.dimse.send_msg(response, message.context_id)

    def _on_store(self, event: evt.Event) -> Dataset | int:
        sender = self._senders.get(event.assoc)
        if sender is None:
            return _response(Status.NOT_AUTHORISED)
        request = event.request
        assert isinstance(request, C_STORE)
        data_set = request.DataSet or BytesIO()
        return _response(
            self._receiving.receive(
                sender,
                StoreRequest(
                    sop_class_uid=_clean(request.AffectedSOPClassUID),
                    sop_instance_uid=_clean(request.AffectedSOPInstanceUID),
                    abstract_syntax=_clean(event.context.abstract_syntax),
                    transfer_syntax_uid=_clean(event.context.transfer_syntax),
                    data_set=data_set.getbuffer(),
                ),
            )
        )

    def _on_sent(self, event: evt.Event) -> None:
        self._busy.discard(event.assoc)

    def _on_end(self, event: evt.Event) -> None:
        self._busy.discard(event.assoc)
        self._senders.pop(event.assoc, None)


def _clean(uid: object) -> str:
    return str(uid or "").rstrip("\0 ")


def _response(status: Status) -> Dataset | int:
    if not status.comment:
        return status.code
    response = Dataset()
    response.Status = status.code
    response.ErrorComment = status.comment
    return response
