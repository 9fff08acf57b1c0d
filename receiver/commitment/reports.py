"""The report of a transaction (N-EVENT-REPORT, PS3.4 J.3.3), and the ways to its requester."""

import ssl
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pynetdicom import AE, build_role, evt
from pynetdicom.association import Association

from dicom_pipeline.errors import TransientError
from receiver.commitment.requests import (
    STORAGE_COMMITMENT_INSTANCE,
    STORAGE_COMMITMENT_PUSH_MODEL,
    TRANSFER_SYNTAXES,
    Reference,
)
from receiver.commitment.transactions import Outcome, Requester
from receiver.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

ALL_SAFE: Final = 1
FAILURES_EXIST: Final = 2
"""Event Type IDs (PS3.4 table J.3-2)."""

CONNECT_SECONDS: Final = 10.0
_ABORT_SECONDS: Final = 2.0


class NotDeliveredError(TransientError):
    """A report did not reach the requester, or the requester did not take it."""


class UnreachableError(NotDeliveredError):
    """The requester gave us no association, or does not respond: its other reports may wait."""


class Reporter(Protocol):
    """A way back over the association that brought the request."""

    def send_event_report(self, event_type: int, data_set: Dataset, timeout: float) -> int:
        """Send an N-EVENT-REPORT, after the response to the N-ACTION; returns its status.

        Called in a thread of its own. Affected SOP class and instance are those of the request.

        Args:
            event_type: Event Type ID.
            data_set: the event information, to be encoded as the presentation context says.
            timeout: seconds to wait for the response.

        Raises:
            NotDeliveredError: the association has ended.
            UnreachableError: no response came in time.
        """


class Address(NamedTuple):
    """Where a requester listens for reports."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


AddressBook = Callable[[Requester], Address | None]
"""Finds a requester's address; None: it has none, and takes reports on its own associations."""


def event_type(outcome: Outcome) -> int:
    """The Event Type ID of a report."""
    return FAILURES_EXIST if outcome.failed else ALL_SAFE


def event_information(
    transaction_uid: str, outcome: Outcome, retrieve_ae_title: str = ""
) -> Dataset:
    """The data set of a report (PS3.4 table J.3-2, PS3.3 C.14).

    Args:
        transaction_uid: as in the request.
        outcome: what to report.
        retrieve_ae_title: from where all the objects can be retrieved; empty: from nowhere.
    """
    report = Dataset()
    if retrieve_ae_title:
        report.RetrieveAETitle = retrieve_ae_title
    report.TransactionUID = transaction_uid
    if outcome.failed:
        failed = [_item(reference) for reference, _ in outcome.failed]
        for item, (_, reason) in zip(failed, outcome.failed, strict=True):
            item.FailureReason = int(reason)
        report.FailedSOPSequence = Sequence(failed)
    if outcome.good:
        report.ReferencedSOPSequence = Sequence(map(_item, outcome.good))
    return report


def _item(reference: Reference) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = reference.sop_class_uid
    item.ReferencedSOPInstanceUID = reference.sop_instance_uid
    return item


class AssociationReporter:
    """A `Reporter` for an association that pynetdicom serves."""

    def __init__(self, association: Association) -> None:
        self._association = association

    def send_event_report(self, event_type: int, data_set: Dataset, timeout: float) -> int:
        """See `Reporter`."""
        association = self._association
        if not association.is_established:
            raise NotDeliveredError("the association has ended")
        association.dimse_timeout = timeout
        try:
            response, _ = association.send_n_event_report(
                data_set, event_type, STORAGE_COMMITMENT_PUSH_MODEL, STORAGE_COMMITMENT_INSTANCE
            )
        except (RuntimeError, ValueError) as error:
            raise NotDeliveredError("the association has ended, or has no context") from error
        if "Status" not in response:
            raise UnreachableError("no valid response in time")
        return int(response.Status)


class OwnAssociation:
    """Sends reports over associations that it requests, until `abort`."""

    def __init__(self) -> None:
        self._association: Association | None = None
        self._aborted = False

    def abort(self) -> None:
        """End the association that stands, and each later one. May be called from any thread."""
        self._aborted = True
        if (association := self._association) is not None:
            association.abort(block=False)
            association.join(_ABORT_SECONDS)  # until it takes no messages away any more
            association.dimse.msg_queue.put((None, None))  # ends the wait for a response

    def send(
        self,
        requester: Requester,
        address: Address,
        event_type: int,
        data_set: Dataset,
        timeout: float,
    ) -> int:
        """Send one report; returns the status of the response.

        We propose to be the SCP of the service (PS3.7 D.3.3.4): the requester of an association
        is else its SCU. A peer that refuses the context for that gets it without roles.

        Raises:
            UnreachableError: the requester cannot be reached, refuses the association, or does
                not respond.
            NotDeliveredError: the receiver stops, or the association has ended.
        """
        try:
            for roles in (True, False):
                association = self._associate(requester, address, timeout, roles=roles)
                if association.is_established or not association.rejected_contexts:
                    break
            if self._aborted:
                association.abort(block=False)
                raise NotDeliveredError("the receiver stops")
            if not association.is_established:
                raise UnreachableError(
                    f"no association with {requester.calling_ae} at {address.host}:{address.port}: "
                    "does it listen there, and accept our AE title and storage commitment?"
                )
            try:
                return AssociationReporter(association).send_event_report(
                    event_type, data_set, timeout
                )
            finally:
                association.release()
        finally:
            self._association = None

    def _associate(
        self, requester: Requester, address: Address, timeout: float, *, roles: bool
    ) -> Association:
        entity = AE(ae_title=requester.called_ae)
        entity.implementation_class_uid = IMPLEMENTATION_CLASS_UID
        entity.implementation_version_name = IMPLEMENTATION_VERSION_NAME
        entity.connection_timeout = CONNECT_SECONDS
        entity.acse_timeout = entity.network_timeout = entity.dimse_timeout = timeout
        entity.add_requested_context(STORAGE_COMMITMENT_PUSH_MODEL, list(TRANSFER_SYNTAXES))
        role = build_role(STORAGE_COMMITMENT_PUSH_MODEL, scu_role=False, scp_role=True)
        options: dict[str, Any] = {"tls_args": (address.tls, address.host)} if address.tls else {}
        self._association = entity.associate(
            address.host,
            address.port,
            ae_title=requester.calling_ae,
            ext_neg=[role] if roles else None,
            evt_handlers=[(evt.EVT_CONN_OPEN, self._on_connection)],
            **options,
        )
        return self._association

    def _on_connection(self, event: evt.Event) -> None:
        self._association = event.assoc
