"""Associations served by our own loop: pynetdicom negotiates, `Session` does the rest."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from pynetdicom import evt
from pynetdicom.association import Association

from dicom_pipeline.settings import Settings
from receiver import takeover
from receiver.connection import Connection
from receiver.endings import tell_end
from receiver.failures import described
from receiver.metrics import AssociationResult, Metrics
from receiver.polled_socket import connection_of
from receiver.receipt import Receiving, Sender
from receiver.session import Actions, Context, Limits, Session
from receiver.wire import Wire

logger = logging.getLogger(__name__)

_ABORTED_BY_US: Final = frozenset({"idle", "limit", "protocol_error", "stopped", "timeout"})
_REST_BYTES: Final = 1 << 16
_REST_SECONDS: Final = 1.0


class OwnLoop:
    """Serves established associations, each in the thread that pynetdicom has made for it."""

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
        self._sessions: set[Session] = set()
        self._lock = threading.Lock()
        self._stopping = False

    def handlers(self) -> list[evt.EventHandlerType]:
        """What pynetdicom is to call."""
        return [
            (evt.EVT_PDU_SENT, takeover.leave_after_acceptance),
            (evt.EVT_ESTABLISHED, self._on_established),
        ]

    def stop(self) -> None:
        """End the associations, each after the message that is under way."""
        with self._lock:
            self._stopping = True
            sessions = list(self._sessions)
        for session in sessions:
            session.stop()

    def _on_established(self, event: evt.Event) -> None:
        association = event.assoc
        try:
            self._serve(association)
        except Exception as error:  # noqa: BLE001 - pynetdicom would log values
            sender = self._sender_of(association)
            logger.error(  # noqa: TRY400 - a traceback may quote values
                "association failed",
                extra={
                    "association": sender and sender.association,
                    "calling_ae": sender and sender.calling_ae,
                    **described(error),
                },
            )
        finally:
            if (connection := connection_of(association)) is not None:
                with suppress(OSError):
                    connection.close()
            takeover.release(association)

    def _serve(self, association: Association) -> None:
        sender = self._sender_of(association)
        if sender is None:
            return
        connection = takeover.take(association)
        session = Session(
            Wire(
                connection,
                max_pdu=self._settings.receiver_max_pdu_bytes,
                network_timeout=self._settings.receiver_network_timeout_seconds,
                idle_timeout=self._settings.receiver_idle_timeout_seconds,
            ),
            sender,
            {
                context.context_id or 0: Context(
                    str(context.abstract_syntax), str(context.transfer_syntax[0])
                )
                for context in association.accepted_contexts
            },
            receiving=self._receiving,
            limits=Limits(
                object_bytes=self._settings.receiver_max_object_bytes,
                objects=self._settings.receiver_max_association_objects,
                bytes=self._settings.receiver_max_association_bytes,
            ),
            actions=self._actions,
            peer_max_pdu=association.requestor.maximum_length or 0,
        )
        if self._serve_session(session) in _ABORTED_BY_US:
            _let_read(connection)

    def _serve_session(self, session: Session) -> AssociationResult:
        self._metrics.association_opened()
        end: AssociationResult = "connection_lost"
        with self._lock:
            self._sessions.add(session)
            stopping = self._stopping
        if stopping:
            session.stop()
        try:
            end = session.serve()
        finally:
            with self._lock:
                self._sessions.discard(session)
            tell_end(self._metrics, session.sender, end, session.objects, session.bytes)
        return end


def _let_read(connection: Connection) -> None:
    """Give the peer a moment to read our A-ABORT.

    To close a connection with unread bytes resets it, and what we have sent last is lost.
    """
    connection.shutdown(socket.SHUT_WR)
    rest = memoryview(bytearray(_REST_BYTES))
    deadline = time.monotonic() + _REST_SECONDS
    with suppress(OSError):
        while (left := deadline - time.monotonic()) > 0 and connection.receive(
            rest, left, fill=False
        ):
            continue
