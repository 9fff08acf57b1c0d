"""The Storage SCP: who may associate, for what, and which loop serves them."""

import logging
import socket
import uuid
from copy import copy
from functools import lru_cache
from typing import Final, Protocol
from weakref import WeakKeyDictionary

import pydicom.config
from pydicom.uid import UID
from pynetdicom import AE, AllStoragePresentationContexts, _config, build_context, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]

from dicom_pipeline.peers import Peer, Peers
from dicom_pipeline.settings import Settings
from receiver import takeover
from receiver.commitment.requests import STORAGE_COMMITMENT_PUSH_MODEL, TRANSFER_SYNTAXES
from receiver.complaints import Complaints
from receiver.connection import Connection
from receiver.listener import Listener, ListenerHooks, start_listener
from receiver.metrics import Metrics
from receiver.own_loop import OwnLoop
from receiver.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from receiver.polled_socket import connection_of
from receiver.public_loop import PublicLoop, serve_as_storage
from receiver.receipt import Receiving, Sender
from receiver.session import Actions
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
def accepted_contexts(
    sop_classes: frozenset[str] | None, syntaxes: tuple[str, ...]
) -> tuple[PresentationContext, ...]:
    """Verification, storage commitment and storage.

    Args:
        sop_classes: the storage SOP classes; None: all that are known.
        syntaxes: the transfer syntaxes of storage, best first.
    """
    known = [str(context.abstract_syntax) for context in AllStoragePresentationContexts]
    # pynetdicom checks every UID of every context: the syntaxes are the same, so once is enough.
    storage = build_context(Verification, list(syntaxes))
    return (
        build_context(Verification),
        build_context(STORAGE_COMMITMENT_PUSH_MODEL, list(TRANSFER_SYNTAXES)),
        *(
            _for_class(sop_class, storage)
            for sop_class in (known if sop_classes is None else sorted(sop_classes))
        ),
    )


def _for_class(sop_class: str, pattern: PresentationContext) -> PresentationContext:
    """A context with the transfer syntaxes of another, which it shares."""
    context = copy(pattern)
    context.abstract_syntax = UID(sop_class)
    return context


class Loop(Protocol):
    """Serves the associations that were established."""

    def handlers(self) -> list[evt.EventHandlerType]:
        """What pynetdicom is to call."""

    def stop(self) -> None:
        """End the associations that are between messages; may be called again."""


class StorageProvider:
    """Listens, decides who may send, and lets a loop serve them."""

    def __init__(
        self,
        settings: Settings,
        peers: Peers,
        receiving: Receiving,
        metrics: Metrics,
        actions: Actions,
    ) -> None:
        """Nothing listens before `start`."""
        self._settings = settings
        self._peers = peers
        self._metrics = metrics
        self._complaints = Complaints()
        self._senders: WeakKeyDictionary[Association, Sender] = WeakKeyDictionary()
        self._loop: Loop
        if settings.receiver_loop == "fast" and takeover.possible():
            self._loop = OwnLoop(settings, receiving, metrics, self._senders.get, actions)
        else:
            serve_as_storage(settings.receiver_sop_classes)
            serve_as_storage(each for peer in peers.peer for each in peer.sop_classes)
            self._loop = PublicLoop(settings, receiving, metrics, self._senders.get, actions)
        self._listener: Listener | None = None

    def start(self, place: socket.socket | None = None) -> int:
        """Listen, and return the port; ``place``: see `start_listener`.

        Raises:
            ConfigurationError: the settings of TLS, or their files, are of no use.
            OSError: the address cannot be bound.
        """
        settings = self._settings
        entity = AE(ae_title=settings.receiver_ae_title)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.maximum_pdu_size = settings.receiver_max_pdu_bytes
        entity.maximum_associations = settings.receiver_max_associations
        entity.acse_timeout = settings.receiver_request_timeout_seconds
        entity.network_timeout = settings.receiver_network_timeout_seconds
        entity.dimse_timeout = settings.receiver_network_timeout_seconds
        self._listener = start_listener(
            entity,
            settings,
            # Copied for each connection, so only one: the real ones are set once it is known
            # whose association it is.
            contexts=[build_context(Verification)],
            evt_handlers=[
                (evt.EVT_REQUESTED, self._on_requested),
                (evt.EVT_REJECTED, self._on_rejected),
                *self._loop.handlers(),
            ],
            hooks=ListenerHooks(connection_refused=self._metrics.rejected),
            place=place,
        )
        return self._listener.port

    def certificate_expiry(self) -> float:
        """Until when (seconds since the epoch) our own TLS certificate is good.

        Raises:
            ssl.SSLCertVerificationError: it is not good now.
        """
        assert self._listener is not None
        return self._listener.certificate_expiry()

    def listening(self) -> bool:
        """Whether the port is open."""
        return self._listener is not None and self._listener.alive()

    def stop_listening(self) -> None:
        """Take no more associations."""
        assert self._listener is not None
        self._listener.shutdown()

    def associations(self) -> list[Association]:
        """Those that stand."""
        assert self._listener is not None
        return list(self._listener.active_associations)

    def stop_associations(self) -> None:
        """End the associations that are between messages; may be called again."""
        self._loop.stop()

    def _on_requested(self, event: evt.Event) -> None:
        association = event.assoc
        request = association.requestor.primitive
        connection = connection_of(association)
        if request is None or connection is None:
            return
        address, _ = connection.client_address
        calling, called = request.calling_ae_title.strip(), request.called_ae_title.strip()
        peer = self._peers.find(address, calling, called, connection.certificate)
        if peer is None:
            self._reject(association, connection, calling, called)
            return
        association.acceptor.supported_contexts = list(self._contexts(peer))
        sender = Sender(
            association=uuid.uuid4().hex[:12],
            tenant_id=peer.tenant,
            source_ip=address,
            calling_ae=calling,
            called_ae=called,
            character_set=peer.character_set or (),
        )
        self._senders[association] = sender
        logger.info(
            "association requested",
            extra={
                **sender._asdict(),
                "certificate_subject": connection.certificate_subject,
                "certificate_sha256": connection.certificate_sha256,
            },
        )

    def _contexts(self, peer: Peer) -> tuple[PresentationContext, ...]:
        settings = self._settings
        classes: frozenset[str] | None = None
        for allowed in (peer.sop_classes, settings.receiver_sop_classes):
            if allowed:
                classes = frozenset(allowed) if classes is None else classes.intersection(allowed)
        syntaxes = preference(peer.transfer_syntaxes, settings.receiver_private_transfer_syntaxes)
        if only := frozenset(settings.receiver_transfer_syntaxes):
            syntaxes = tuple(syntax for syntax in syntaxes if syntax in only)
        return accepted_contexts(classes, syntaxes)

    def _reject(
        self, association: Association, connection: Connection, calling: str, called: str
    ) -> None:
        address, _ = connection.client_address
        known = any(
            each.matches(address, calling, each.called_ae or called, connection.certificate)
            for each in self._peers.peer
        )
        self._metrics.rejected("not_authorised")
        self._complaints.tell(
            "not_authorised",
            "association rejected",
            extra={
                "calling_ae": calling,
                "source_ip": address,
                "certificate_subject": connection.certificate_subject or "",
                "certificate_sha256": connection.certificate_sha256 or "",
            },
        )
        association.acse.send_reject(
            _REJECTED_PERMANENT,
            _SERVICE_USER,
            _CALLED_NOT_RECOGNISED if known else _CALLING_NOT_RECOGNISED,
        )
        association.kill()

    def _on_rejected(self, _: evt.Event) -> None:
        """By pynetdicom itself: there are RECEIVER_MAX_ASSOCIATIONS already."""
        self._metrics.rejected("too_many_associations")
        self._complaints.tell(
            "too_many", "association rejected: RECEIVER_MAX_ASSOCIATIONS stand already"
        )
