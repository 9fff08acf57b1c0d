"""Both ends of the wire by pynetdicom: an archive that takes N-ACTION, and a modality."""

from contextlib import contextmanager
from io import BytesIO

from pydicom.filereader import read_dataset
from pynetdicom import AE, evt

from dicom_pipeline_tests.receiver.commitment.stored import (
    EXPLICIT,
    IMPLICIT,
    action_information,
)
from receiver.commitment.reports import AssociationReporter
from receiver.commitment.requests import (
    STORAGE_COMMITMENT_INSTANCE,
    STORAGE_COMMITMENT_PUSH_MODEL,
    TRANSFER_SYNTAXES,
)
from receiver.commitment.transactions import Requester


@contextmanager
def archive(commitment, port=0):
    """An acceptor that hands N-ACTION to a `Commitment`; yields its port."""

    def on_action(event):
        association, request = event.assoc, event.request
        primitive = association.requestor.primitive
        status = commitment.handle_action(
            Requester(
                "default",
                primitive.calling_ae_title.strip(),
                primitive.called_ae_title.strip(),
                association.requestor.address,
            ),
            str(request.RequestedSOPClassUID),
            str(request.RequestedSOPInstanceUID),
            request.ActionTypeID,
            request.ActionInformation.getvalue() if request.ActionInformation else b"",
            str(event.context.transfer_syntax),
            AssociationReporter(association),
        )
        return status, None

    entity = AE(ae_title="ARCHIVE")
    entity.add_supported_context(STORAGE_COMMITMENT_PUSH_MODEL, list(TRANSFER_SYNTAXES))
    server = entity.start_server(
        ("127.0.0.1", port), block=False, evt_handlers=[(evt.EVT_N_ACTION, on_action)]
    )
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


class Reports:
    """The reports that a modality was sent."""

    def __init__(self, *statuses):
        self.received = []
        self.statuses = list(statuses)
        """Answers to the first reports; 0x0000 to the rest."""
        self.roles = []
        """Whether the association that brought a report proposed its sender as SCP."""

    def on_report(self, event):
        proposed = event.assoc.requestor.role_selection
        self.roles.append({str(uid): item.scp_role for uid, item in proposed.items()})
        self.received.append((event.event_type, event.event_information))
        return (self.statuses.pop(0) if self.statuses else 0x0000), None

    def handlers(self):
        return [(evt.EVT_N_EVENT_REPORT, self.on_report)]


@contextmanager
def listener(reports, *, port=0, roles=(None, None), tls=None, handlers=None):
    """A modality that waits for reports; yields its port."""
    entity = AE(ae_title="MODALITY")
    entity.require_called_aet = True
    scu_role, scp_role = roles
    entity.add_supported_context(
        STORAGE_COMMITMENT_PUSH_MODEL, [IMPLICIT, EXPLICIT], scu_role=scu_role, scp_role=scp_role
    )
    server = entity.start_server(
        ("127.0.0.1", port),
        block=False,
        evt_handlers=handlers or reports.handlers(),
        ssl_context=tls,
    )
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()


@contextmanager
def requesting(port, reports=None):
    """A modality's association to the archive."""
    entity = AE(ae_title="MODALITY")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    entity.add_requested_context(STORAGE_COMMITMENT_PUSH_MODEL, [EXPLICIT])
    association = entity.associate(
        "127.0.0.1",
        port,
        ae_title="ARCHIVE",
        evt_handlers=reports.handlers() if reports else None,
    )
    assert association.is_established
    try:
        yield association
    finally:
        if association.is_established:
            association.release()


def request_commitment(association, references, transaction_uid="1.2.3"):
    """One N-ACTION; returns its status."""
    information = read_dataset(
        BytesIO(action_information(references, transaction_uid)),
        is_implicit_VR=False,
        is_little_endian=True,
    )
    response, _ = association.send_n_action(
        information, 1, STORAGE_COMMITMENT_PUSH_MODEL, STORAGE_COMMITMENT_INSTANCE
    )
    return response.Status


def told(report):
    """Good references, and failed ones with their reasons, of a report."""
    good = [
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
        for item in report.get("ReferencedSOPSequence", [])
    ]
    failed = {
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID): item.FailureReason
        for item in report.get("FailedSOPSequence", [])
    }
    return good, failed
