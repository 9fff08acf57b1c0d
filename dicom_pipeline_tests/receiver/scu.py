"""The sender's side of the wire, by pynetdicom, with any bytes and any UIDs."""

from contextlib import contextmanager
from io import BytesIO

from pydicom.uid import UID
from pynetdicom import AE, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.pdu import A_ASSOCIATE_RJ

from benchmarks.requestor import keep_responses
from dicom_pipeline_tests.receiver.objects import CT, EXPLICIT, encode_dataset


def note_rejection(event):
    """Keep what the A-ASSOCIATE-RJ says, on EVT_PDU_RECV.

    A rejection that comes very soon pynetdicom takes for a connection that could not be opened:
    its thread that waits for the socket finds it closed already.
    """
    if isinstance(event.pdu, A_ASSOCIATE_RJ):
        event.assoc.rejection = (event.pdu.result, event.pdu.source, event.pdu.reason_diagnostic)


@contextmanager
def associated(receiver, contexts=((CT, [EXPLICIT]),), calling="SCU", called="DICOM_PIPELINE"):
    """An association as the requestor."""
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    for abstract, syntaxes in contexts:
        entity.add_requested_context(abstract, syntaxes)
    connections = []
    association = entity.associate(
        "127.0.0.1",
        receiver.port,
        ae_title=called,
        evt_handlers=[
            (evt.EVT_CONN_OPEN, lambda e: connections.append(e.assoc.dul.socket.socket)),
            (evt.EVT_PDU_RECV, note_rejection),
        ],
    )
    keep_responses(association)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
        for connection in connections:
            connection.close()  # pynetdicom forgets to when the peer was faster


def send(association, data_set, uid, sop_class=CT, context=0):
    """One C-STORE with any bytes and any UIDs; returns status and comment."""
    association._reactor_checkpoint.clear()
    request = C_STORE()
    request.MessageID = 1
    request._affected_sop_class_uid = UID(sop_class)
    request._affected_sop_instance_uid = UID(uid)
    request.Priority = 2
    request.DataSet = BytesIO(data_set)
    context_id = association.accepted_contexts[context].context_id
    association.dimse.send_msg(request, context_id)
    _, response = association.dimse.get_msg(block=True)
    association._reactor_checkpoint.set()
    assert response is not None, "no answer"
    return response.Status, response.ErrorComment or ""


def send_dataset(association, dataset, syntax=EXPLICIT, **options):
    uid = str(dataset.SOPInstanceUID)
    return send(association, encode_dataset(dataset, syntax), uid, **options)
