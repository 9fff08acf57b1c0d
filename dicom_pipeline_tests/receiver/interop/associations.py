"""Associations with all that pynetdicom lets a requestor choose."""

from contextlib import contextmanager

from pynetdicom import AE, evt

from benchmarks.requestor import keep_responses
from dicom_pipeline_tests.receiver.scu import note_rejection


@contextmanager
def associated(inbox, contexts, calling, *, items=(), max_pdu=16382, handlers=(), **options):
    """An association as the requestor, released at the end; ``items`` go into the request."""
    entity = AE(ae_title=calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = 20
    for abstract, syntaxes in contexts:
        entity.add_requested_context(abstract, syntaxes)
    association = entity.associate(
        "127.0.0.1",
        inbox.port,
        max_pdu=max_pdu,
        ext_neg=list(items),
        evt_handlers=[*handlers, (evt.EVT_PDU_RECV, note_rejection)],
        **options,
    )
    keep_responses(association)
    try:
        yield association
    finally:
        if association.is_established:
            association.release()
