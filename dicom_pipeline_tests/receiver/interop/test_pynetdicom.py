"""What pynetdicom can ask for in an association, each with objects that follow."""

import pytest
from pydicom.uid import generate_uid
from pynetdicom import AllStoragePresentationContexts, build_role, evt
from pynetdicom.pdu_primitives import (
    AsynchronousOperationsWindowNegotiation,
    SOPClassCommonExtendedNegotiation,
    SOPClassExtendedNegotiation,
    UserIdentityNegotiation,
)
from pynetdicom.sop_class import Verification

from dicom_pipeline_tests.receiver.commitment.peers import Reports, request_commitment, told
from dicom_pipeline_tests.receiver.interop.associations import associated
from dicom_pipeline_tests.receiver.interop.inbox import PRIVATE_SYNTAX
from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.receiver.objects import (
    BIG_ENDIAN,
    CT,
    EXPLICIT,
    IMPLICIT,
    element,
    encode_dataset,
    make_dataset,
)
from dicom_pipeline_tests.receiver.scu import send, send_dataset
from receiver.commitment.requests import STORAGE_COMMITMENT_PUSH_MODEL, Reference

pytestmark = pytest.mark.service

PDU_HEAD = 6
J2K_LOSSLESS = "1.2.840.10008.1.2.4.90"
ENCAPSULATED = [
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.70",
    "1.2.840.10008.1.2.4.80",
    J2K_LOSSLESS,
    "1.2.840.10008.1.2.4.102",  # H.264
    "1.2.840.10008.1.2.4.110",  # JPEG XL Lossless
    "1.2.840.10008.1.2.4.111",
    "1.2.840.10008.1.2.4.112",
    "1.2.840.10008.1.2.4.201",  # High-Throughput JPEG 2000
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.203",
    "1.2.840.10008.1.2.5",
    PRIVATE_SYNTAX,
]


def encapsulated(dataset) -> bytes:
    """In explicit VR little endian, with pixel data in one fragment that nobody could decode."""
    del dataset.PixelData
    fragments = bytes.fromhex("feff00e000000000") + bytes.fromhex("feff00e004000000") + b"\1\2\3\4"
    pixels = element(0x7FE0, 0x0010, "OB", b"", 0xFFFFFFFF) + fragments
    return encode_dataset(dataset) + pixels + bytes.fromhex("feffdde000000000")


def test_every_coding_comes_byte_for_byte_in_one_association(either):
    contexts = [(CT, [syntax]) for syntax in [EXPLICIT, IMPLICIT, BIG_ENDIAN, *ENCAPSULATED]]
    sent = {}
    with associated(either, contexts, "CODINGS") as association:
        assert [each.transfer_syntax for each in association.accepted_contexts] == [
            syntaxes for _, syntaxes in contexts
        ]
        for number, (_, (syntax,)) in enumerate(contexts):
            dataset = make_dataset()
            uid = str(dataset.SOPInstanceUID)
            plain = syntax not in ENCAPSULATED
            data_set = encode_dataset(dataset, syntax) if plain else encapsulated(dataset)
            assert send(association, data_set, uid, context=number) == (0x0000, "")
            sent[uid] = (syntax, data_set)
    stored = either.data_sets("CODINGS", len(sent))
    events = either.events("CODINGS", len(sent))
    assert {e.sop_uid: (e.transfer_syntax_uid, stored[e.sop_uid]) for e in events} == sent


def test_a_syntax_that_nobody_configured_is_not_accepted(either):
    contexts = [(CT, ["1.2.826.0.1.3680043.8.498.99.2"]), (CT, [EXPLICIT])]
    with associated(either, contexts, "UNKNOWN") as association:
        assert [each.context_id for each in association.accepted_contexts] == [3]
        (refused,) = association.rejected_contexts
        assert refused.result == 4  # transfer syntaxes not supported


def test_128_contexts_are_all_accepted_and_the_last_one_takes_objects(either):
    classes = [str(each.abstract_syntax) for each in AllStoragePresentationContexts]
    contexts = [(each, [EXPLICIT, IMPLICIT]) for each in classes if each != CT][:127]
    with associated(either, [*contexts, (CT, [IMPLICIT])], "MANY") as association:
        assert [each.context_id for each in association.accepted_contexts] == [*range(1, 256, 2)]
        status, _ = send_dataset(association, make_dataset(), IMPLICIT, context=127)
    assert status == 0x0000
    either.events("MANY", 1)


def window(invoked, performed):
    item = AsynchronousOperationsWindowNegotiation()
    item.maximum_number_operations_invoked = invoked
    item.maximum_number_operations_performed = performed
    return item


def identity(kind, primary, secondary=b""):
    item = UserIdentityNegotiation()
    item.user_identity_type, item.primary_field = kind, primary
    item.secondary_field, item.positive_response_requested = secondary, True
    return item


def extended():
    item = SOPClassExtendedNegotiation()
    item.sop_class_uid, item.service_class_application_information = CT, b"\2\0\1\0\1\0"
    return item


def common_extended():
    item = SOPClassCommonExtendedNegotiation()
    item.sop_class_uid, item.service_class_uid = CT, "1.2.840.10008.4.2"
    item.related_general_sop_class_identification = ["1.2.840.10008.5.1.4.1.1.4"]
    return item


@pytest.mark.parametrize(
    "item",
    [
        window(0, 0),
        window(16, 4),
        identity(1, b"user"),
        identity(2, b"user", b"secret"),
        identity(5, b"header.payload.signature"),
        extended(),
        common_extended(),
        build_role(CT, scu_role=True, scp_role=True),
    ],
    ids=["unlimited window", "window", "user", "password", "token", "extended", "common", "role"],
)
def test_what_an_association_may_offer_beside_is_left_aside(either, item, request):
    calling = f"ITEM{request.node.callspec.indices['item']}"
    with associated(either, [(CT, [EXPLICIT])], calling, items=[item]) as association:
        assert send_dataset(association, make_dataset()) == (0x0000, "")
        assert association.acceptor.asynchronous_operations == (1, 1)
        assert association.acceptor.user_identity is None
        assert association.acceptor.sop_class_extended == {}
    either.events(calling, 1)
    assert "secret" not in (either.home / "log.txt").read_text()


@pytest.mark.parametrize("max_pdu", [0, 4096, 1 << 20])
def test_any_length_of_pdus_that_the_sender_can_take_is_good(either, max_pdu):
    dataset = make_dataset(PixelData=b"\1\2" * 200_000)
    calling = f"LENGTH{max_pdu}"
    contexts = [(CT, [EXPLICIT]), (Verification, [IMPLICIT])]
    with associated(either, contexts, calling, max_pdu=max_pdu) as association:
        assert association.acceptor.maximum_length == 131072
        assert association.send_c_echo().Status == 0x0000
        assert send_dataset(association, dataset) == (0x0000, "")
        assert send_dataset(association, make_dataset(SOPClassUID=None))[0] == 0xC001
    assert list(either.data_sets(calling, 1).values()) == [encode_dataset(dataset)]


@pytest.mark.parametrize(
    "roles",
    [(), (build_role(STORAGE_COMMITMENT_PUSH_MODEL, scu_role=True, scp_role=False),)],
    ids=["default roles", "as SCU"],
)
def test_commitment_is_reported_on_the_association_that_has_brought_the_objects(either, roles):
    """In PDUs as small as the requester asks for: the report is longer than one of them."""
    calling = f"COMMIT{len(roles)}"
    reports, unknown, lengths = Reports(), Reference(CT, generate_uid()), []
    handlers = [
        *reports.handlers(),
        (evt.EVT_DATA_RECV, lambda event: lengths.append(len(event.data) - PDU_HEAD)),
    ]
    contexts = [(STORAGE_COMMITMENT_PUSH_MODEL, [EXPLICIT]), (CT, [EXPLICIT])]
    with associated(
        either, contexts, calling, items=roles, max_pdu=4096, handlers=handlers
    ) as association:
        assert len(association.accepted_contexts) == 2
        stored = []
        for _ in range(60):
            dataset = make_dataset()
            assert send_dataset(association, dataset, context=1) == (0x0000, "")
            stored.append(Reference(CT, str(dataset.SOPInstanceUID)))
        transaction = str(generate_uid())
        assert request_commitment(association, [*stored, unknown], transaction) == 0x0000
        wait_until(lambda: reports.received)
        assert association.is_established
    ((kind, report),) = reports.received
    assert (kind, report.TransactionUID) == (2, transaction)
    assert max(lengths) == 4096
    assert told(report) == (stored, {unknown: 0x0112})
