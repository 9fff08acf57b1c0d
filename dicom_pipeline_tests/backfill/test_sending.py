"""What is published, what is written down, and what a crash or a second backfill makes of it."""

import pytest

from dicom_pipeline.backfill import candidates
from dicom_pipeline.backfill.following import Outcomes, follow, marks
from dicom_pipeline.backfill.selection import Selection
from dicom_pipeline.backfill.sending import send
from dicom_pipeline.errors import TransientError
from dicom_pipeline.imaging.outcomes import ErrorCode
from dicom_pipeline.messages import TRANSCODE_QUEUE
from dicom_pipeline.stages import RENDITIONS
from dicom_pipeline.warehouse import CONVERSION_RETRY
from dicom_pipeline_tests.backfill.failures import (
    SECOND,
    SHOWN,
    START,
    again,
    failed,
    published,
    received,
    say,
)

NOW = START + 1000 * SECOND
EVERYTHING = Selection()


class Failing:
    """Stands before a store; the call named fails once the others have been made."""

    def __init__(self, store, method, after=0):
        self.store = store
        self.method = method
        self.left = after

    def __getattr__(self, name):
        if name == self.method:
            self.left -= 1
            if self.left < 0:
                raise TransientError("the system is away")
        return getattr(self.store, name)


def number_of(counts):
    return sum(one.number for one in counts)


def test_each_failure_is_published_once_with_the_next_attempt_and_its_own_key(log, stores):
    events = [received(number) for number in range(3)]
    say(stores, failed(), *events)
    (count,) = send(log, stores[1], EVERYTHING, "backfill-1", NOW)
    assert count == ("sent", "timeout", events[0].transfer_syntax_uid, 3)
    assert published(log) == [again(event, 1) for event in events]
    assert send(log, stores[1], EVERYTHING, "backfill-2", NOW) == []
    assert len(published(log)) == 3


def test_what_the_attempt_failed_with_is_kept(log, stores):
    event = received(1)
    say(stores, failed(ErrorCode.CRASHED), event)
    send(log, stores[1], EVERYTHING, "backfill-1", NOW)
    say(stores, failed(ErrorCode.TIMEOUT), again(event, 1))
    send(log, stores[1], EVERYTHING, "backfill-2", NOW)
    say(stores, SHOWN, again(event, 2))
    history = stores[1].query(
        "SELECT attempt, state, error_code, library, backfill_id FROM conversion_history "
        "ORDER BY attempt"
    )
    assert [tuple(row.values()) for row in history] == [
        (0, "failed", "crashed", "codec", "backfill-1"),
        (1, "failed", "timeout", "codec", "backfill-2"),
        (2, "recovered", None, None, None),
    ]


def test_an_attempt_is_one_row_of_the_history_before_the_next_one_is_decided(log, stores):
    say(stores, failed(), received(1))
    for _ in range(2):
        (row,) = stores[1].query("SELECT attempt, state FROM conversion_history")
        assert row == {"attempt": 0, "state": "failed"}
        send(log, stores[1], EVERYTHING, "backfill-1", NOW)


def test_a_crash_after_the_publishing_lets_the_same_attempts_be_published_again(log, stores):
    events = [received(number) for number in range(2)]
    say(stores, failed(), *events)
    with pytest.raises(TransientError):
        send(log, Failing(stores[1], "load"), EVERYTHING, "backfill-1", NOW)
    send(log, stores[1], EVERYTHING, "backfill-2", NOW)
    assert published(log) == [again(event, 1) for event in events] * 2
    assert send(log, stores[1], EVERYTHING, "backfill-3", NOW) == []


def test_what_could_not_be_published_is_not_written_down(log, stores, monkeypatch):
    monkeypatch.setattr(candidates, "PAGE", 2)
    say(stores, failed(), *(received(number) for number in range(5)))
    with pytest.raises(TransientError):
        send(Failing(log, "publish", after=1), stores[1], EVERYTHING, "backfill-1", NOW)
    assert len(published(log)) == 2
    assert number_of(send(log, stores[1], EVERYTHING, "backfill-2", NOW)) == 3
    assert len({event.trace_id for event in published(log)}) == len(published(log)) == 5


def test_a_limit_leaves_the_rest_to_the_next_backfill(log, stores):
    say(stores, failed(), *(received(number) for number in range(5)))
    sizes = [
        number_of(send(log, stores[1], Selection(limit=3), f"backfill-{n}", NOW)) for n in range(3)
    ]
    assert sizes == [3, 2, 0]


def test_what_was_lost_on_the_way_is_sent_again_when_asked_for_as_the_same_attempt(log, stores):
    event = received(1)
    say(stores, failed(), event)
    send(log, stores[1], EVERYTHING, "backfill-1", NOW)
    send(log, stores[1], Selection(again=True), "backfill-2", NOW + 1)
    assert published(log) == [again(event, 1)] * 2
    (row,) = stores[1].query(f"SELECT attempt, requested, backfill_id FROM {CONVERSION_RETRY}")
    assert row == {"attempt": 0, "requested": NOW + 1, "backfill_id": "backfill-2"}


def test_a_backfill_is_followed_until_each_of_its_objects_is_decided(log, stores):
    events = [received(number) for number in range(3)]
    say(stores, failed(), *events, received(9))
    send(log, stores[1], Selection(limit=3), "backfill-1", NOW)
    behind = marks(log)
    send(log, stores[1], EVERYTHING, "backfill-2", NOW)

    def outcomes():
        return follow(log, stores[1], "backfill-1", behind)

    assert outcomes() == Outcomes(0, {}, passed=False)
    say(stores, SHOWN, again(events[0], 1), again(received(9), 1))
    say(stores, failed(ErrorCode.TRUNCATED), again(events[1], 1))
    assert outcomes() == Outcomes(1, {"truncated": 1}, passed=False)
    log.commit(RENDITIONS.consumer_group, TRANSCODE_QUEUE, 0, 3)
    assert outcomes() == Outcomes(1, {"truncated": 1}, passed=True)
    assert outcomes().decided == 2


def test_an_object_that_recovered_by_a_replay_of_its_first_attempt_is_decided(log, stores):
    event = received(1)
    say(stores, failed(), event)
    send(log, stores[1], EVERYTHING, "backfill-1", NOW)
    say(stores, SHOWN, event)
    assert follow(log, stores[1], "backfill-1", marks(log)).recovered == 1
