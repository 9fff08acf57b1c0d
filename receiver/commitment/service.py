"""The service as a whole: requests in, reports out."""

import logging
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from dicom_pipeline.clock import wall_clock_us
from receiver.commitment.evaluation import Evaluation
from receiver.commitment.reporting import Hooks, Pauses, Worker
from receiver.commitment.reports import AddressBook, Reporter
from receiver.commitment.requests import ActionStatus, RefusedError, check_action, parse
from receiver.commitment.transactions import Requester, Transactions, Waiting
from receiver.failures import described

logger = logging.getLogger(__name__)

_STOP_SECONDS: Final = 20.0
_LOCK_SECONDS: Final = 2.0
"""A neighbour may hold the file for a moment to see whether it is an orphan."""


class Sender(Protocol):
    """Who sends on an association."""

    @property
    def tenant_id(self) -> str:
        """Whose objects are asked about."""

    @property
    def source_ip(self) -> str:
        """Address of the requester."""

    @property
    def calling_ae(self) -> str:
        """AE title of the requester, who is called by it when the report goes out."""

    @property
    def called_ae(self) -> str:
        """AE title by which the requester knows us."""


class Commitment:
    """The Storage Commitment SCP of one receiver process."""

    def __init__(  # noqa: PLR0913 - its surroundings, each named
        self,
        *,
        root: Path,
        outboxes: Path,
        path: Path,
        address_of: AddressBook,
        settled: Callable[[float], bool],
        retrieve_ae_title: str = "",
        pauses: Pauses = Pauses(),  # noqa: B008 - immutable
        hooks: Hooks = Hooks(),  # noqa: B008 - immutable
    ) -> None:
        """Nothing is worked on before `start`, but requests are taken.

        Args:
            root: the storage root.
            outboxes: the folder of the receivers' outboxes.
            path: this receiver's file of transactions, ``<home>/commitment/<node>.db``. Files
                beside it whose receivers do not run any more are adopted.
            address_of: finds where a requester listens.
            settled: see `Evaluation`.
            retrieve_ae_title: see `event_information`.
            pauses: when to try again, and when to give up.
            hooks: for metrics.

        Raises:
            ConfigurationError: ``path`` cannot be used.
        """
        stopping = threading.Event()
        self._hooks = hooks
        self._transactions = Transactions(path, _LOCK_SECONDS)
        self._worker = Worker(
            self._transactions,
            Evaluation(root, outboxes, settled, stopping),
            address_of,
            stopping=stopping,
            retrieve_ae_title=retrieve_ae_title,
            pauses=pauses,
            hooks=hooks,
        )

    def start(self) -> None:
        """Go on with what waits, from before a restart too."""
        self._worker.start()

    def stop(self) -> None:
        """Interrupt the worker, and let go of the file."""
        self._worker.stop(_STOP_SECONDS)
        self._transactions.close()

    def handle_action(  # noqa: PLR0913, PLR0917 - the parameters of an N-ACTION
        self,
        sender: Sender,
        requested_class: str,
        requested_instance: str,
        action_type: int | None,
        data_set: bytes | memoryview,
        transfer_syntax: str,
        reporter: Reporter | None,
    ) -> int:
        """Answer an N-ACTION: 0x0000 means that the request is durable and will be reported on.

        Args:
            sender: who asks.
            requested_class: Requested SOP Class UID, like the next two from the command set.
            requested_instance: Requested SOP Instance UID.
            action_type: Action Type ID.
            data_set: the encoded action information.
            transfer_syntax: of the presentation context.
            reporter: the way back over this association, for a requester without an address.

        Returns:
            The status of the N-ACTION-RSP.
        """
        requester = Requester(
            sender.tenant_id, sender.calling_ae, sender.called_ae, sender.source_ip
        )
        context = {"calling_ae": requester.calling_ae}
        status = ActionStatus.SUCCESS
        try:
            check_action(requested_class, requested_instance, action_type)
            request = parse(data_set, transfer_syntax)
            number = self._transactions.add(requester, request, wall_clock_us())
            self._worker.submit(number, reporter)
            logger.info(
                "storage commitment requested",
                extra={
                    **context,
                    "transaction_uid": request.transaction_uid,
                    "objects": len(request.references),
                },
            )
        except RefusedError as refusal:
            status = refusal.status
            logger.warning(
                "storage commitment request refused", extra={**context, "status": status.name}
            )
        except Exception as error:  # noqa: BLE001 - the requester must have an answer
            full = isinstance(error, sqlite3.Error | OSError)
            status = ActionStatus.RESOURCE_LIMITATION if full else ActionStatus.PROCESSING_FAILURE
            logger.error(  # noqa: TRY400 - a traceback may quote values
                "storage commitment request not taken", extra={**context, **described(error)}
            )
        self._hooks.requested(int(status))
        return int(status)

    def waiting(self) -> Waiting:
        """How many transactions have no report yet, and the age of the oldest."""
        return self._transactions.waiting()
