"""Requests and reports over real associations."""

import contextlib
import logging
import socket
import ssl
import threading
import time

import pytest
import trustme
from pynetdicom import evt

from dicom_pipeline_tests.receiver.commitment.peers import (
    Reports,
    archive,
    listener,
    request_commitment,
    requesting,
    told,
)
from dicom_pipeline_tests.receiver.commitment.stored import (
    CT,
    EXPLICIT,
    MR,
    action_information,
    new_uid,
    wait_until,
)
from receiver.commitment.reporting import Hooks, Pauses
from receiver.commitment.reports import Address, UnreachableError
from receiver.commitment.requests import (
    STORAGE_COMMITMENT_INSTANCE,
    STORAGE_COMMITMENT_PUSH_MODEL,
    Reference,
)
from receiver.commitment.service import Commitment
from receiver.commitment.transactions import Requester

pytestmark = [
    pytest.mark.service,
    # pynetdicom leaves the socket of a refused connection to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
]

QUICK = Pauses(first=0.1, longest=0.4, give_up=3600, response=5)
MODALITY = Requester("default", "MODALITY", "ARCHIVE", "127.0.0.1")


@contextlib.contextmanager
def serving(stored, address_of=lambda _: None, *, started=True, **options):
    commitment = Commitment(
        root=stored.root,
        outboxes=stored.outboxes,
        path=stored.transactions,
        address_of=address_of,
        settled=lambda _: True,
        **{"pauses": QUICK, **options},
    )
    if started:
        commitment.start()
    try:
        yield commitment
    finally:
        commitment.stop()


def done(commitment):
    wait_until(lambda: commitment.waiting().transactions == 0)


def act(commitment, references, transaction_uid="1.2.3", reporter=None):
    return commitment.handle_action(
        MODALITY,
        STORAGE_COMMITMENT_PUSH_MODEL,
        STORAGE_COMMITMENT_INSTANCE,
        1,
        action_information(references, transaction_uid),
        EXPLICIT,
        reporter,
    )


def at(port):
    return lambda _: Address("127.0.0.1", port)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_modality_without_an_address_is_told_on_the_association_that_asked(stored):
    reports = Reports()
    good = [stored.store()[0] for _ in range(3)]
    with (
        serving(stored) as commitment,
        archive(commitment) as port,
        requesting(port, reports) as association,
    ):
        assert request_commitment(association, good, "1.77") == 0x0000
        done(commitment)
        ((kind, report),) = reports.received
        assert association.is_established
    assert (kind, report.TransactionUID) == (1, "1.77")
    assert told(report) == (good, {})
    assert "RetrieveAETitle" not in report
    assert "FailedSOPSequence" not in report


def test_a_modality_with_an_address_is_told_on_an_association_of_ours(stored):
    reports = Reports()
    good, _ = stored.store()
    with (
        listener(reports) as theirs,
        serving(stored, at(theirs), retrieve_ae_title="PACS") as commitment,
        archive(commitment) as port,
    ):
        with requesting(port) as association:
            assert request_commitment(association, [good]) == 0x0000
        done(commitment)
    ((kind, report),) = reports.received
    assert (kind, report.RetrieveAETitle) == (1, "PACS")
    assert told(report) == ([good], {})


def test_of_a_large_request_exactly_the_objects_that_fail_are_named_with_their_reasons(stored):
    reports = Reports()
    good = [stored.store()[0] for _ in range(500)]
    unknown, conflict = Reference(CT, new_uid()), stored.store(sop_class=MR)[0]
    conflict = Reference(CT, conflict.sop_instance_uid)
    asked = [unknown, *good[:250], conflict, *good[250:]]
    counted = []
    with (
        listener(reports) as theirs,
        serving(
            stored, at(theirs), hooks=Hooks(evaluated=lambda *counts: counted.append(counts))
        ) as commitment,
        archive(commitment) as port,
        requesting(port) as association,
    ):
        assert request_commitment(association, asked) == 0x0000
        done(commitment)
    ((kind, report),) = reports.received
    assert kind == 2
    assert told(report) == (good, {unknown: 0x0112, conflict: 0x0119})
    assert counted == [(500, 2)]


@pytest.mark.parametrize(
    "roles",
    [(None, None), (False, True), (True, True)],
    ids=["no role items", "scp accepted", "both accepted"],
)
def test_a_peer_may_take_our_proposal_to_be_the_scp_or_leave_it(stored, roles):
    reports = Reports()
    with listener(reports, roles=roles) as theirs, serving(stored, at(theirs)) as commitment:
        act(commitment, [stored.store()[0]])
        done(commitment)
    assert reports.roles == [{STORAGE_COMMITMENT_PUSH_MODEL: True}]


def test_a_peer_that_refuses_our_role_is_asked_without_one(stored):
    reports = Reports()

    def refuse_roles(event):
        if event.assoc.requestor.role_selection:
            event.assoc.acceptor.supported_contexts = []

    handlers = [*reports.handlers(), (evt.EVT_REQUESTED, refuse_roles)]
    with listener(reports, handlers=handlers) as theirs, serving(stored, at(theirs)) as commitment:
        act(commitment, [stored.store()[0]])
        done(commitment)
    assert reports.roles == [{}]


def test_a_report_goes_out_over_tls(stored):
    reports, authority = Reports(), trustme.CA()
    theirs = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(theirs)
    ours = ssl.create_default_context()
    authority.configure_trust(ours)
    with (
        listener(reports, tls=theirs) as port,
        serving(stored, lambda _: Address("127.0.0.1", port, ours)) as commitment,
    ):
        act(commitment, [stored.store()[0]])
        done(commitment)
    assert len(reports.received) == 1


def test_a_request_is_reported_on_after_the_process_was_killed(stored):
    reports, good = Reports(), stored.store()[0]
    with serving(stored, started=False) as killed:  # took the request, and came no further
        assert act(killed, [good]) == 0x0000
    with listener(reports) as theirs, serving(stored, at(theirs)) as commitment:
        done(commitment)
    assert told(reports.received[0][1]) == ([good], {})


def test_a_requester_that_is_away_gets_its_reports_when_it_is_back(stored, caplog):
    reports, port = Reports(), free_port()
    with serving(stored, at(port)) as commitment:
        for number in range(3):
            act(commitment, [stored.store()[0]], f"1.{number}")
        wait_until(lambda: "will try again" in caplog.text)
        assert commitment.waiting().transactions == 3
        with listener(reports, port=port):
            done(commitment)
    assert {report.TransactionUID for _, report in reports.received} == {"1.0", "1.1", "1.2"}


def test_a_requester_that_is_away_is_tried_once_for_all_its_reports(stored, caplog):
    looked_up, port = [], free_port()

    def address_of(requester):
        looked_up.append(requester)
        return Address("127.0.0.1", port)

    with serving(stored, started=False) as commitment:
        for number in range(3):
            act(commitment, [stored.store()[0]], f"1.{number}")
    with serving(stored, address_of, pauses=QUICK._replace(first=60)):
        wait_until(lambda: caplog.text.count("will try again") == 3)
    assert len(looked_up) == 1


def test_a_requester_that_does_not_answer_on_its_association_is_not_waited_for_long(stored, caplog):
    go_on = threading.Event()

    class Hanging(Reports):
        def on_report(self, event):
            go_on.wait(30)
            return super().on_report(event)

    with serving(stored, pauses=QUICK._replace(response=0.2)) as commitment:
        with archive(commitment) as port, requesting(port, Hanging()) as association:
            request_commitment(association, [stored.store()[0]])
            wait_until(lambda: "will try again" in caplog.text, seconds=5)
            go_on.set()
        assert commitment.waiting().transactions == 1


def test_a_requester_that_does_not_answer_is_waited_for_once_for_all_its_reports(stored, caplog):
    """Ten thousand times the time for an answer would be days, for every requester."""
    asked = []

    class Silent:
        def send_event_report(self, *_):
            asked.append(self)
            raise UnreachableError("no response in time")

    pauses = QUICK._replace(first=60)
    with serving(stored, started=False, pauses=pauses) as commitment:
        for number in range(3):
            act(commitment, [stored.store()[0]], f"1.{number}", Silent())
        commitment.start()
        wait_until(lambda: caplog.text.count("will try again") == 3)
    assert len(asked) == 1


def test_a_report_that_was_not_taken_is_sent_again_and_says_the_same(stored):
    reports = Reports(0x0110, 0x0213)
    reference, file = stored.store()
    with listener(reports) as theirs, serving(stored, at(theirs)) as commitment:
        act(commitment, [reference])
        wait_until(lambda: reports.received)
        file.unlink()
        done(commitment)
    assert [told(report) for _, report in reports.received] == [([reference], {})] * 3


def test_a_requester_that_never_comes_back_is_given_up_loudly(stored, caplog):
    ends = []
    with serving(
        stored,
        at(free_port()),
        pauses=QUICK._replace(give_up=0.3),
        hooks=Hooks(reported=ends.append),
    ) as commitment:
        act(commitment, [stored.store()[0]])
        done(commitment)
    assert ends == [False]
    errors = [
        each
        for each in caplog.records
        if each.levelno == logging.ERROR and each.name.startswith("receiver")
    ]
    assert [(each.calling_ae, each.transaction_uid) for each in errors] == [("MODALITY", "1.2.3")]


def test_a_released_association_without_an_address_tells_what_to_configure(stored, caplog):
    with serving(stored) as commitment, archive(commitment) as port:
        with requesting(port, Reports()) as association:
            association.release()
        act(commitment, [stored.store()[0]])
        wait_until(lambda: "will try again" in caplog.text)
        assert commitment.waiting().transactions == 1
    assert any("commitment_host" in getattr(each, "error", "") for each in caplog.records)


def test_a_request_that_is_repeated_is_reported_on_the_new_association(stored):
    reports, good = Reports(), stored.store()[0]
    with serving(stored) as commitment, archive(commitment) as port:
        act(commitment, [good])
        with requesting(port, reports) as association:
            assert request_commitment(association, [good]) == 0x0000
            done(commitment)
    assert len(reports.received) == 1


def test_other_objects_under_a_transaction_uid_in_use_are_reported_as_duplicates(stored):
    reports, port = Reports(), free_port()
    first, second = stored.store()[0], stored.store()[0]
    with serving(stored, at(port)) as commitment:
        act(commitment, [first])
        assert act(commitment, [second]) == 0x0000
        with listener(reports, port=port):
            done(commitment)
    assert sorted((kind, told(report)) for kind, report in reports.received) == [
        (1, ([first], {})),
        (2, ([], {second: 0x0131})),
    ]


def test_one_requester_that_is_away_does_not_hold_up_another(stored):
    reports = Reports()
    with listener(reports) as theirs:
        ports = {"AWAY": free_port(), "MODALITY": theirs}
        with serving(
            stored, lambda requester: Address("127.0.0.1", ports[requester.calling_ae])
        ) as commitment:
            for calling_ae in ("AWAY", "MODALITY"):
                commitment.handle_action(
                    MODALITY._replace(calling_ae=calling_ae),
                    STORAGE_COMMITMENT_PUSH_MODEL,
                    STORAGE_COMMITMENT_INSTANCE,
                    1,
                    action_information([stored.store()[0]]),
                    EXPLICIT,
                    None,
                )
            wait_until(lambda: commitment.waiting().transactions == 1)
    assert len(reports.received) == 1


def test_stopping_interrupts_a_requester_that_does_not_answer(stored):
    asked, go_on = threading.Event(), threading.Event()

    def hang(_event):
        asked.set()
        go_on.wait(30)
        return 0x0000, None

    handlers = [(evt.EVT_N_EVENT_REPORT, hang)]
    with listener(Reports(), handlers=handlers) as theirs:
        with serving(stored, at(theirs), pauses=QUICK._replace(response=60)) as commitment:
            act(commitment, [stored.store()[0]])
            assert asked.wait(10)
            started = time.monotonic()
        assert time.monotonic() - started < 5
        go_on.set()


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"requested_class": CT}, 0x0118),
        ({"requested_instance": "1.2"}, 0x0112),
        ({"action_type": 2}, 0x0123),
        ({"data_set": b""}, 0x0115),
    ],
)
def test_what_cannot_be_answered_is_refused_and_counted(stored, changes, status):
    counted = []
    request = {
        "sender": MODALITY,
        "requested_class": STORAGE_COMMITMENT_PUSH_MODEL,
        "requested_instance": STORAGE_COMMITMENT_INSTANCE,
        "action_type": 1,
        "data_set": action_information([stored.store()[0]]),
        "transfer_syntax": EXPLICIT,
        "reporter": None,
        **changes,
    }
    with serving(stored, hooks=Hooks(requested=counted.append), started=False) as commitment:
        assert commitment.handle_action(**request) == status
        assert commitment.waiting().transactions == 0
    assert counted == [status]


def test_a_request_that_cannot_be_made_durable_is_not_accepted(stored):
    with serving(stored, started=False) as commitment:
        commitment._transactions._connection.execute("DROP TABLE transactions")
        assert act(commitment, [stored.store()[0]]) == 0x0213
