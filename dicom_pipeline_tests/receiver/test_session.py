"""Messages of one association: whole, in parts, in each other, and what they are answered."""

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.conversations import Pdu, Value, command, encode
from dicom_pipeline_tests.receiver.conversing import (
    COMMAND,
    CONTEXTS,
    LAST,
    MAX_PDU,
    P_DATA,
    PROVIDER,
    RELEASE,
    RELEASED,
    Script,
    aborted,
    answers,
    message,
    pdu,
    receiving_in,
    request,
    session_over,
    store,
    store_command,
)
from dicom_pipeline_tests.receiver.objects import (
    CT,
    IMPLICIT,
    MR,
    make_dataset,
    request_for,
    store_request,
    unfinished,
)
from receiver.incoming import ObjectBuffer
from receiver.part10 import read_head

STORED = (0x8001, 0)


@pytest.fixture
def receiving(tmp_path):
    with receiving_in(tmp_path) as receiving:
        yield receiving


def serve(receiving, *parts, **options):
    """Returns the transport, how the association has ended, and its session."""
    transport = Script(*parts)
    session = session_over(transport, receiving, **options)
    return transport, session.serve(), session


def small(**changes):
    return request_for(make_dataset(**changes))


def stored_bytes(receiving, event):
    path = receiving.root / event.file_path
    return path.read_bytes()[read_head(path).offset :]


def test_an_object_is_stored_and_answered_and_the_association_released(receiving):
    sent = small()
    transport, end, session = serve(receiving, store(sent), RELEASE)
    assert (end, answers(transport)) == ("released", [STORED])
    assert transport.sent.endswith(RELEASED)
    (event,) = receiving.outbox.events
    assert stored_bytes(receiving, event) == sent.data_set
    assert (session.objects, session.bytes) == (1, len(sent.data_set))


def test_each_context_has_its_own_syntax(receiving):
    sent = request_for(make_dataset(SOPClassUID=MR), IMPLICIT)
    _, end, _ = serve(receiving, store(sent, context_id=3), RELEASE)
    (event,) = receiving.outbox.events
    assert (end, event.transfer_syntax_uid, event.sop_class_uid) == ("released", IMPLICIT, MR)


def test_a_response_repeats_what_its_request_is_known_by(receiving):
    sent = small(SOPInstanceUID="1.2.345")
    transport, _, _ = serve(receiving, message(1, store_command(sent, 4711), sent.data_set))
    context_id = transport.sent[10]
    assert context_id == 1
    for value in (struct.pack("<HHIH", 0, 0x0120, 2, 4711), CT.encode(), b"1.2.345"):
        assert value in transport.sent


def test_fragments_may_be_cut_at_every_byte(receiving):
    sent = small()
    asked = store_command(sent)
    parts = []
    for cut in range(len(asked) + 1):
        parts += [
            pdu(Value(1, COMMAND, asked[:cut])),
            pdu(Value(1, COMMAND | LAST, asked[cut:])),
            pdu(Value(1, LAST, sent.data_set)),
        ]
    for cut in range(len(sent.data_set) + 1):
        parts += [
            pdu(Value(1, COMMAND | LAST, asked)),
            pdu(Value(1, 0, sent.data_set[:cut]), Value(1, LAST, sent.data_set[cut:])),
        ]
    transport, end, session = serve(receiving, *parts, RELEASE)
    count = len(asked) + len(sent.data_set) + 2
    assert (end, session.objects) == ("released", count)
    assert answers(transport) == [STORED] * count
    assert len({event.digest for event in receiving.outbox.events}) == 1
    assert stored_bytes(receiving, receiving.outbox.events[0]) == sent.data_set


def test_command_and_data_set_may_share_a_pdu(receiving):
    sent = small()
    both = pdu(Value(1, COMMAND | LAST, store_command(sent)), Value(1, LAST, sent.data_set))
    transport, end, _ = serve(receiving, both, RELEASE)
    assert (end, answers(transport)) == ("released", [STORED])


def test_a_pdu_may_hold_the_end_of_one_message_and_the_beginning_of_the_next(receiving):
    one, other = small(), small()
    mixed = [
        pdu(Value(1, COMMAND | LAST, store_command(one)), Value(1, 0, one.data_set[:9])),
        pdu(Value(1, LAST, one.data_set[9:]), Value(1, COMMAND | LAST, store_command(other))),
        pdu(Value(1, LAST, other.data_set)),
    ]
    transport, end, _ = serve(receiving, *mixed, RELEASE)
    assert (end, answers(transport)) == ("released", [STORED] * 2)


@pytest.mark.parametrize("size", [1, 5, 6, 7, 11, 12, 13, 4096, 1 << 20])
def test_reads_may_return_any_part_of_what_was_sent(receiving, size):
    sent = [small(PixelData=bytes(5000)), small()]
    stream = b"".join(map(store, sent)) + RELEASE
    parts = [stream[start : start + size] for start in range(0, len(stream), size)]
    transport, end, _ = serve(receiving, *parts)
    assert (end, answers(transport)) == ("released", [STORED] * 2)
    assert [stored_bytes(receiving, each) for each in receiving.outbox.events] == [
        each.data_set for each in sent
    ]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_the_same_message_is_the_same_in_any_pdvs_pdus_and_reads(receiving, data):
    sent = small(SOPInstanceUID="1.2.3.4", PixelData=bytes(range(256)) * 20)
    values = []
    for control, whole in ((COMMAND, store_command(sent)), (0, sent.data_set)):
        cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=4)))
        cuts += range(MAX_PDU // 2, len(whole), MAX_PDU // 2)
        ends = [*sorted(cuts), len(whole)]
        for start, end in zip([0, *ends[:-1]], ends, strict=True):
            values.append(Value(1, control, whole[start:end]))
        values[-1] = Value(1, control | LAST, values[-1].fragment)
    pdus = [Pdu(P_DATA)]
    for value in values:
        filled = sum(6 + len(each.fragment) for each in pdus[-1].values)
        if filled + 6 + len(value.fragment) > MAX_PDU or data.draw(st.booleans()):
            pdus.append(Pdu(P_DATA))
        pdus[-1].values.append(value)
    stream = encode(pdus) + RELEASE
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=6)))
    parts = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    transport, end, _ = serve(receiving, *parts)
    assert (end, answers(transport)) == ("released", [STORED])
    assert stored_bytes(receiving, receiving.outbox.events[-1]) == sent.data_set


def test_empty_pdus_and_fragments_mean_nothing(receiving):
    sent = small()
    asked = store_command(sent)
    parts = [
        pdu(),
        pdu(Value(1, COMMAND, b""), Value(1, COMMAND, asked), Value(1, COMMAND | LAST, b"")),
        pdu(),
        pdu(Value(1, 0, b""), Value(1, 0, sent.data_set), Value(1, LAST, b"")),
    ]
    transport, end, _ = serve(receiving, *parts, RELEASE)
    assert (end, answers(transport)) == ("released", [STORED])


ASKED = store_command(small(SOPInstanceUID="1.2.3"))
UNEXPECTED, UNRECOGNISED, INVALID = 2, 1, 6
BEGUN = pdu(Value(1, COMMAND | LAST, ASKED))

BROKEN = {
    "data set without a command": (pdu(Value(1, LAST, b"x")), INVALID),
    "data set in another context": (BEGUN + pdu(Value(3, LAST, b"x")), INVALID),
    "command within a data set": (BEGUN + pdu(Value(1, 0, b"x")) + BEGUN, INVALID),
    "command in two contexts": (
        pdu(Value(1, COMMAND, ASKED[:20]), Value(3, COMMAND | LAST, ASKED[20:])),
        INVALID,
    ),
    "context that was not accepted": (pdu(Value(9, COMMAND | LAST, ASKED)), INVALID),
    "context 0": (pdu(Value(0, COMMAND | LAST, ASKED)), INVALID),
    "command that is cut off": (pdu(Value(1, COMMAND | LAST, ASKED[:-1])), INVALID),
    "empty command": (pdu(Value(1, COMMAND | LAST, b"")), INVALID),
    "command without an end": (pdu(Value(1, COMMAND, bytes(4000))) * 17, INVALID),
    "PDV longer than its PDU": (pdu(Value(1, COMMAND | LAST, ASKED, 1 << 20)), INVALID),
    "PDV of length 1": (pdu(Value(1, COMMAND | LAST, ASKED, 1)), INVALID),
    "PDV of length 1 before a sound one": (
        BEGUN + Pdu(P_DATA, body=b"\0\0\0\1\1" + Value(1, LAST, b"x").encode()).encode(),
        INVALID,
    ),
    "PDV of length 0": (pdu(Value(1, COMMAND | LAST, ASKED, 0)), INVALID),
    "PDV without a head": (Pdu(P_DATA, body=b"\0\0\0\2\1").encode(), INVALID),
    "second PDV that is cut off": (
        Pdu(P_DATA, [Value(1, COMMAND, ASKED)], body=b"\0\0\0").encode(),
        INVALID,
    ),
    "PDU longer than negotiated": (pdu(Value(1, COMMAND, bytes(MAX_PDU - 5))), INVALID),
    "PDU of 4 GB": (Pdu(P_DATA, length=(1 << 32) - 1).encode(), INVALID),
    "release within a message": (BEGUN + RELEASE, UNEXPECTED),
    "release within a command": (pdu(Value(1, COMMAND, ASKED)) + RELEASE, UNEXPECTED),
    "A-RELEASE-RP": (RELEASED, UNEXPECTED),
    **{f"PDU of type {kind}": (Pdu(kind).encode(), UNEXPECTED) for kind in (1, 2, 3)},
    **{f"PDU of type {kind}": (Pdu(kind).encode(), UNRECOGNISED) for kind in (0, 8, 0xFF)},
}


@pytest.mark.parametrize(("stream", "reason"), BROKEN.values(), ids=BROKEN.keys())
def test_who_breaks_the_protocol_is_aborted_and_leaves_nothing(receiving, stream, reason, caplog):
    transport, end, _ = serve(receiving, stream, RELEASE)
    assert (end, bytes(transport.sent)) == ("protocol_error", aborted(PROVIDER, reason))
    assert receiving.outbox.events == []
    assert [record.association for record in caplog.records] == ["assoc-1"]


def test_what_was_answered_before_a_breach_stays_stored(receiving):
    transport, end, _ = serve(receiving, store(small()), *BROKEN["empty command"][:1])
    assert (end, answers(transport)) == ("protocol_error", [STORED])
    assert len(receiving.outbox.events) == 1


def test_the_longest_pdu_that_was_negotiated_is_taken(receiving):
    sent = small(PixelData=bytes(MAX_PDU))
    begin = pdu(Value(1, COMMAND | LAST, store_command(sent)))
    longest = pdu(Value(1, 0, sent.data_set[: MAX_PDU - 6]))
    assert len(longest) == MAX_PDU + 6
    rest = pdu(Value(1, LAST, sent.data_set[MAX_PDU - 6 :]))
    transport, end, _ = serve(receiving, begin + longest + rest + RELEASE)
    assert (end, answers(transport)) == ("released", [STORED])


@pytest.mark.parametrize("cut", [1, 6, 13, len(BEGUN), len(BEGUN) + 12, -1])
@pytest.mark.parametrize("lost", [True, False], ids=["reset", "closed"])
def test_who_goes_in_the_middle_leaves_nothing(receiving, cut, lost):
    stream = store(small())[:cut]
    transport, end, _ = serve(receiving, stream, *[ConnectionResetError()] * lost)
    assert (end, bytes(transport.sent)) == ("connection_lost", b"")
    assert receiving.outbox.events == []


def test_who_aborts_in_the_middle_leaves_nothing_and_hears_nothing(receiving):
    transport, end, _ = serve(receiving, BEGUN + pdu(Value(1, 0, b"x" * 99)) + aborted(0))
    assert (end, bytes(transport.sent)) == ("aborted_by_peer", b"")
    assert receiving.outbox.events == []


@pytest.mark.parametrize("end", [b"", aborted(0), RELEASE, BEGUN], ids=["lost", "abort", "RQ", "x"])
def test_an_object_that_has_begun_on_the_disk_leaves_nothing(receiving, end, monkeypatch):
    monkeypatch.setattr("receiver.session.ObjectBuffer", lambda: ObjectBuffer(8192))
    begun = store(small(PixelData=bytes(50_000)))[:40_000]
    begun = begun[: 12 + len(ASKED) + 8 * (MAX_PDU + 6)]
    names = []
    serve(receiving, begun, lambda: names.extend(unfinished(receiving.incoming.path)), end)
    assert len(names) == 1
    assert unfinished(receiving.incoming.path) == []
    assert receiving.outbox.events == []


def test_who_cannot_be_answered_is_lost(receiving):
    transport = Script(store(small()), RELEASE)
    transport.failure = BrokenPipeError()
    assert session_over(transport, receiving).serve() == "connection_lost"
    assert len(receiving.outbox.events) == 1, "what came is kept all the same"


def test_an_echo_is_answered(receiving):
    transport, end, session = serve(receiving, request(0x0030), RELEASE)
    assert (end, answers(transport), session.objects) == ("released", [(0x8030, 0)], 0)


@pytest.mark.parametrize("operation", [0x0010, 0x0020, 0x0021, 0x0100, 0x0130, 0x0140, 0x7777])
@pytest.mark.parametrize("data", [b"", b"an identifier" * 1000])
def test_an_unknown_operation_is_told_so_and_the_association_goes_on(receiving, operation, data):
    transport, end, _ = serve(receiving, request(operation, data=data), request(0x0030), RELEASE)
    assert end == "released"
    assert answers(transport) == [(operation | 0x8000, 0x0211), (0x8030, 0)]


@pytest.mark.parametrize("operation", [0x0FFF, 0x8001, 0x8030, 0x8100, 0xFFFF])
@pytest.mark.parametrize("data", [b"", b"some data set"])
def test_cancels_and_responses_are_not_answered(receiving, operation, data):
    transport, end, _ = serve(receiving, request(operation, data=data), request(0x0030), RELEASE)
    assert (end, answers(transport)) == ("released", [(0x8030, 0)])


def test_a_store_without_a_data_set_is_answered_at_once(receiving):
    asked = command({0x0002: CT, 0x0100: 1, 0x0110: 1, 0x0800: 0x0101, 0x1000: "1.2"})
    transport, end, _ = serve(receiving, message(1, asked), request(0x0030), RELEASE)
    assert (end, answers(transport)) == ("released", [(0x8001, 0xC001), (0x8030, 0)])


def test_a_refused_object_is_answered_once_it_has_come_in_full(receiving):
    refused = store_request(b"x" * 10_000, uid="../..")
    transport, end, session = serve(receiving, store(refused), store(small()), RELEASE)
    assert (end, answers(transport)) == ("released", [(0x8001, 0x0117), STORED])
    assert (session.objects, len(receiving.outbox.events)) == (2, 1)


def test_a_class_of_another_context_is_refused(receiving):
    transport, _, _ = serve(receiving, store(small(), context_id=3), RELEASE)
    assert answers(transport) == [(0x8001, 0x0122)]


@pytest.mark.parametrize("context_id", [5, 7], ids=["Verification", "storage commitment"])
def test_no_object_is_of_a_class_that_is_a_service(receiving, context_id):
    service = CONTEXTS[context_id].abstract_syntax
    sent = request_for(make_dataset(SOPClassUID=service), CONTEXTS[context_id].transfer_syntax_uid)
    transport, end, _ = serve(receiving, store(sent, context_id), RELEASE)
    assert (end, answers(transport)) == ("released", [(0x8001, 0x0211)])
    assert receiving.outbox.events == []


@pytest.mark.parametrize("limit", [40, 128, 0])
def test_no_pdu_is_longer_than_the_peer_takes(receiving, limit):
    transport, end, _ = serve(receiving, store(small()), RELEASE, peer_max_pdu=limit)
    assert (end, answers(transport)) == ("released", [STORED])
    position = 0
    while position < len(transport.sent):
        (length,) = struct.unpack_from(">I", transport.sent, position + 2)
        assert length <= (limit or 1000)
        position += 6 + length
