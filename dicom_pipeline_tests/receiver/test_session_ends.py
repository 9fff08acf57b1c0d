"""How an association ends that nobody releases: limits, silence, slowness, and the stop."""

import pytest

from benchmarks.fuzz.conversations import Value
from dicom_pipeline_tests.receiver.conversing import (
    COMMAND,
    LAST,
    MAX_PDU,
    RELEASE,
    USER,
    Clock,
    Script,
    aborted,
    answers,
    pdu,
    receiving_in,
    session_over,
    store,
    store_command,
)
from dicom_pipeline_tests.receiver.objects import make_dataset, request_for
from receiver.session import Limits

STORED = (0x8001, 0)
IDLE, NETWORK = 60, 30
ABORTED = aborted(USER)


@pytest.fixture
def receiving(tmp_path):
    with receiving_in(tmp_path) as receiving:
        yield receiving


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr("receiver.wire.time", clock)
    return clock


def small(**changes):
    return request_for(make_dataset(**changes))


def serve(receiving, *parts, **options):
    transport = Script(*parts)
    return transport, session_over(transport, receiving, **options).serve()


def test_one_object_more_than_allowed_ends_the_association(receiving):
    limits = Limits(object_bytes=1 << 20, objects=2)
    objects = [store(small()) for _ in range(3)]
    transport, end = serve(receiving, *objects, RELEASE, limits=limits)
    assert (end, answers(transport)) == ("limit", [STORED] * 2)
    assert transport.sent.endswith(ABORTED)
    assert len(receiving.outbox.events) == 2


def test_who_has_brought_the_bytes_that_are_allowed_may_bring_no_more_objects(receiving):
    sent = small()
    limits = Limits(object_bytes=1 << 20, bytes=2 * len(sent.data_set))
    transport, end = serve(receiving, *[store(sent)] * 3, RELEASE, limits=limits)
    assert (end, answers(transport)) == ("limit", [STORED] * 2)


def test_an_object_of_the_greatest_size_is_stored_and_one_byte_more_is_not(receiving):
    sent = small(PixelData=bytes(10_000))
    size = len(sent.data_set)
    transport, end = serve(receiving, store(sent), RELEASE, limits=Limits(object_bytes=size))
    assert (end, answers(transport)) == ("released", [STORED])
    receiving.outbox.events.clear()
    longer = request_for(make_dataset(PixelData=bytes(10_002)))
    transport, end = serve(receiving, store(longer), RELEASE, limits=Limits(object_bytes=size))
    assert (end, bytes(transport.sent)) == ("limit", ABORTED)
    assert receiving.outbox.events == []


def test_a_new_object_has_the_whole_limit_again(receiving):
    sent = small()
    limits = Limits(object_bytes=len(sent.data_set))
    transport, end = serve(receiving, *[store(sent)] * 3, RELEASE, limits=limits)
    assert (end, answers(transport)) == ("released", [STORED] * 3)


def test_silence_between_messages_lasts_as_long_as_the_idle_timeout(receiving):
    transport, end = serve(receiving, store(small()), TimeoutError())
    assert end == "idle"
    assert transport.sent.endswith(ABORTED)
    assert transport.timeouts[-1] == transport.timeouts[0] == IDLE


@pytest.mark.parametrize("cut", [1, 5, 6, 20, 200], ids=lambda cut: f"{cut} bytes")
def test_silence_within_a_message_is_over_sooner(receiving, cut):
    transport, end = serve(receiving, store(small())[:cut], TimeoutError())
    assert (end, bytes(transport.sent)) == ("timeout", ABORTED)
    assert transport.timeouts[-1] <= NETWORK


def test_who_trickles_is_cut_off_though_something_always_comes(receiving, clock):
    stream = store(small())
    parts = [each for byte in stream for each in (bytes([byte]), clock.passes(1))]
    transport, end = serve(receiving, *parts)
    assert (end, bytes(transport.sent)) == ("timeout", ABORTED)
    assert NETWORK <= clock.now - 1000 <= NETWORK + 2


def test_a_large_object_has_time_as_long_as_enough_comes(receiving, clock):
    sent = small(PixelData=bytes(600_000))
    stream = store(sent)
    parts = []
    for start in range(0, len(stream), 40_000):  # 64 KiB within the timeout are enough
        parts += [stream[start : start + 40_000], clock.passes(NETWORK / 2.5)]
    transport, end = serve(receiving, *parts, RELEASE)
    assert (end, answers(transport)) == ("released", [STORED])
    assert clock.now - 1000 > 5 * NETWORK


def test_the_time_of_one_message_is_not_taken_from_the_next(receiving, clock):
    parts = [each for _ in range(5) for each in (store(small()), clock.passes(NETWORK * 0.9))]
    transport, end = serve(receiving, *parts, RELEASE)
    assert (end, answers(transport)) == ("released", [STORED] * 5)


def stopping(receiving, *parts):
    """``"stop"`` among the parts: the session is told to stop before the next is read."""
    transport = Script(*[part for part in parts if part != "stop"])
    session = session_over(transport, receiving)
    transport.parts = [session.stop if part == "stop" else part for part in parts]
    return transport, session.serve()


def test_a_stop_between_messages_ends_the_association_at_once(receiving):
    transport, end = stopping(receiving, store(small()), "stop", store(small()), RELEASE)
    assert (end, answers(transport)) == ("stopped", [STORED])
    assert transport.sent.endswith(ABORTED)
    assert len(receiving.outbox.events) == 1


def test_a_stop_before_the_first_message_ends_the_association(receiving):
    transport, end = stopping(receiving, "stop", store(small()))
    assert (end, bytes(transport.sent)) == ("stopped", ABORTED)


@pytest.mark.parametrize("cut", ["within the command", "behind the command", "within the data"])
def test_a_stop_within_a_message_lets_it_end_first(receiving, cut):
    sent = small(PixelData=bytes(2 * MAX_PDU))
    asked = store_command(sent)
    whole = store(sent)
    if cut == "within the command":
        begin = pdu(Value(1, COMMAND, asked[:30]))
        whole = begin + pdu(Value(1, COMMAND | LAST, asked[30:])) + whole[len(asked) + 12 :]
        place = len(begin)
    else:
        place = len(asked) + 12 + (0 if cut == "behind the command" else MAX_PDU + 6)
    transport, end = stopping(receiving, whole[:place], "stop", whole[place:], store(small()))
    assert (end, answers(transport)) == ("stopped", [STORED])
    assert transport.sent.endswith(ABORTED)
    assert len(receiving.outbox.events) == 1, "and no further message is begun"


def test_a_stop_within_a_message_that_never_ends_waits_no_longer_than_for_any(receiving):
    begin = store(small())[:200]
    assert len(store_command(small())) + 12 < 200, "the command has come"
    transport, end = stopping(receiving, begin, "stop", TimeoutError())
    assert (end, bytes(transport.sent)) == ("timeout", ABORTED)
