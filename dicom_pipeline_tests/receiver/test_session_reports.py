"""Storage commitment over one association: N-ACTION in, N-EVENT-REPORT back."""

import gc
import threading
import time
import weakref

import pytest
from pydicom.dataset import Dataset

from benchmarks.fuzz import reference
from dicom_pipeline_tests.receiver.conversing import (
    COMMITMENT,
    COMMITMENT_INSTANCE,
    RELEASE,
    Script,
    answers,
    number,
    receiving_in,
    request,
    session_over,
)
from dicom_pipeline_tests.receiver.objects import EXPLICIT, encode_dataset
from receiver.commitment.reports import NotDeliveredError, UnreachableError

SECONDS = 20
ACTION, ACTED, REPORT, REPORTED = 0x0130, 0x8130, 0x0100, 0x8100


@pytest.fixture
def receiving(tmp_path):
    with receiving_in(tmp_path) as receiving:
        yield receiving


class Actions:
    """Keeps what it is asked, and lets ``then`` have the way back."""

    def __init__(self, status=0, then=lambda reporter: None):
        self.asked, self.status, self.then = [], status, then

    def handle_action(self, *asked):
        self.asked.append(asked[:-1])
        self.then(asked[-1])
        return self.status


def action(data):
    return request(ACTION, 7, data, x0002="", x0003=COMMITMENT, x1001=COMMITMENT_INSTANCE, x1008=1)


def report_response(message_id, status=0):
    return request(REPORTED, 7, x0120=message_id, x0900=status)


def information(size=0):
    dataset = Dataset()
    dataset.TransactionUID = "1.2.3"
    dataset.add_new(0x00091001, "OB", bytes(size))
    return dataset


def reporting(outcomes, threads, size=0):
    """Sends a report in another thread, as the service does, and keeps what comes of it."""

    def then(reporter):
        def run():
            try:
                outcomes.append(reporter.send_event_report(1, information(size), SECONDS))
            except NotDeliveredError as error:
                outcomes.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        threads.append(thread)
        time.sleep(0.05)  # it would be first if it could

    return then


def operations(transport):
    return [number(each, 0x0100) for each in reference.answers(transport.sent)]


@pytest.mark.parametrize("status", [0, 0x0112])
def test_an_action_is_handed_on_as_it_came_and_its_status_answered(receiving, status):
    data = encode_dataset(information(9000))
    actions, transport = Actions(status), Script(action(data), RELEASE)
    session = session_over(transport, receiving, actions=actions)
    assert session.serve() == "released"
    assert actions.asked == [
        (session.sender, COMMITMENT, COMMITMENT_INSTANCE, 1, data, EXPLICIT),
    ]
    assert answers(transport) == [(ACTED, status)]


def test_the_information_of_one_action_is_not_mixed_with_the_next(receiving):
    actions = Actions()
    transport = Script(action(b"one"), action(b"other"), action(b""), RELEASE)
    session_over(transport, receiving, actions=actions).serve()
    assert [asked[4] for asked in actions.asked] == [b"one", b"other", b""]


def test_without_storage_commitment_an_action_is_unknown(receiving):
    transport = Script(action(b"one"), RELEASE)
    assert session_over(transport, receiving).serve() == "released"
    assert answers(transport) == [(ACTED, 0x0211)]


def test_an_action_of_endless_information_ends_the_association(receiving, monkeypatch):
    monkeypatch.setattr("receiver.session._ACTION_BYTES", 10_000)
    actions, transport = Actions(), Script(action(bytes(10_002)), RELEASE)
    assert session_over(transport, receiving, actions=actions).serve() == "limit"
    assert actions.asked == []


@pytest.mark.parametrize("status", [0, 0x0110])
def test_a_report_follows_the_response_and_gets_its_status(receiving, status):
    outcomes, threads = [], []
    actions = Actions(then=reporting(outcomes, threads))

    def until_reported():
        deadline = time.monotonic() + SECONDS
        while REPORT not in operations(transport) and time.monotonic() < deadline:
            time.sleep(0.001)

    def until_delivered():
        threads[0].join(SECONDS)

    transport = Script(
        action(b""), until_reported, report_response(1, status), until_delivered, RELEASE
    )
    assert session_over(transport, receiving, actions=actions).serve() == "released"
    assert operations(transport) == [ACTED, REPORT]
    assert outcomes == [status]
    command = reference.answers(transport.sent)[1]
    assert command[0x1000].rstrip(b"\0").decode() == COMMITMENT_INSTANCE
    assert number(command, 0x1002) == 1


def test_a_report_that_gets_no_response_fails_with_its_association(receiving):
    outcomes, threads = [], []
    actions = Actions(then=reporting(outcomes, threads))
    transport = Script(action(b""), lambda: time.sleep(0.1), RELEASE)
    began = time.monotonic()
    session_over(transport, receiving, actions=actions).serve()
    threads[0].join(SECONDS)
    assert time.monotonic() - began < SECONDS / 2, "at once, not after its own time"
    assert [type(each) for each in outcomes] == [NotDeliveredError]


def test_a_report_after_the_end_is_not_delivered(receiving):
    reporters = []
    transport = Script(action(b""), RELEASE)
    session_over(transport, receiving, actions=Actions(then=reporters.append)).serve()
    sent = bytes(transport.sent)
    with pytest.raises(NotDeliveredError):
        reporters[0].send_event_report(1, information(), SECONDS)
    assert transport.sent == sent


def test_a_requester_that_does_not_respond_is_told_from_one_that_has_gone(receiving):
    reporters = []

    def report():
        with pytest.raises(UnreachableError):
            reporters[0].send_event_report(1, information(), 0.01)

    transport = Script(action(b""), report, RELEASE)
    actions = Actions(then=reporters.append)
    assert session_over(transport, receiving, actions=actions).serve() == "released"


def test_the_way_back_does_not_keep_the_buffers_of_an_association_that_has_ended(receiving):
    """Thousands of requests may wait for their report when nobody listens any more."""
    reporters = []
    transport = Script(action(b""), RELEASE)
    session = session_over(transport, receiving, actions=Actions(then=reporters.append))
    session.serve()
    buffers = weakref.ref(session)
    del session, transport
    gc.collect()
    assert buffers() is None
    with pytest.raises(NotDeliveredError):
        reporters[0].send_event_report(1, information(), SECONDS)


def test_an_association_ends_with_a_report_that_went_out_in_part(receiving):
    """Whatever followed would be taken for the rest of it."""
    outcomes, threads = [], []

    def fail():
        transport.failure = TimeoutError("the peer does not read")
        reporting(outcomes, threads)(reporters[0])
        threads[0].join(SECONDS)
        transport.failure = None

    reporters = []
    transport = Script(action(b""), fail, request(0x0030), RELEASE)
    session = session_over(transport, receiving, actions=Actions(then=reporters.append))
    assert session.serve() == "connection_lost"
    assert [type(each) for each in outcomes] == [NotDeliveredError]
    assert answers(transport) == [(ACTED, 0)]


def test_a_response_to_no_report_is_ignored(receiving):
    transport = Script(*[report_response(each) for each in (0, 1, 7)], request(0x0030), RELEASE)
    assert session_over(transport, receiving, actions=Actions()).serve() == "released"
    assert answers(transport) == [(0x8030, 0)]


def test_a_long_report_is_sent_in_pdus_that_the_peer_takes(receiving):
    outcomes, threads = [], []
    actions = Actions(then=reporting(outcomes, threads, size=5000))
    transport = Script(action(b""), lambda: time.sleep(0.1), RELEASE)
    session_over(transport, receiving, actions=actions, peer_max_pdu=1024).serve()
    threads[0].join(SECONDS)
    bodies = [body for kind, body in reference.pdus(transport.sent) if kind == 4]
    assert max(map(len, bodies)) == 1024
    data = b"".join(
        fragment
        for body in bodies
        for _, control, fragment in reference.values(body)
        if not control & 1
    )
    assert data == encode_dataset(information(5000))
