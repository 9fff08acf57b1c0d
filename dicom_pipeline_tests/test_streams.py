import subprocess
import sys

import pytest

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log import Watermarks
from dicom_pipeline.event_log.bounds import is_of_topic
from dicom_pipeline.settings import Settings
from dicom_pipeline.streams import (
    Breaker,
    Ledger,
    Limits,
    Outstanding,
    RunState,
    committed,
    decode,
    encode,
    lag,
    oldest_unprocessed,
    plan,
)

QUEUE = "storage_queue"
SECOND = 1_000_000
LIMITS = Limits(
    in_flight=2,
    range_messages=10,
    range_messages_max=40,
    max_attempts=3,
    backoff_us=5 * SECOND,
    backoff_max_us=60 * SECOND,
    outstanding_max=5,
)


class Queue:
    """A queue, its runs and its clock: each tick saves the ledger as a sensor does."""

    def __init__(self, *highs, limits=LIMITS, cut=None):
        self.marks = {n: Watermarks(0, high) for n, high in enumerate(highs)}
        self.topic_id = "A"
        self.limits = limits
        self.cut = cut
        self.now = 1000 * SECOND
        self.cursor = None
        self.states = {}
        self.restored_at = 1 << 60
        """From this offset on the messages are others than at first."""

    @property
    def ledger(self):
        return decode(self.cursor)

    def timestamp(self, partition, offset):
        low, high = self.marks[partition]
        if not low <= offset < high:
            return None
        return offset + (1_000_000 if offset >= self.restored_at else 0)

    def restore(self, *highs):
        """An older copy that ends at ``highs``."""
        self.marks = {n: Watermarks(0, high) for n, high in enumerate(highs)}
        self.restored_at = min(highs)

    def tick(self, seconds=5):
        self.now += round(seconds * SECOND)
        result = plan(
            self.ledger,
            QUEUE,
            self.topic_id,
            self.marks,
            self.states,
            self.now,
            self.limits,
            self.timestamp,
            self.cut,
        )
        self.cursor = encode(result.ledger)
        for request in result.requests:
            self.states[request.run_key] = RunState.WAITING
        return result

    def requested(self, seconds=5):
        return [short(request.run_key) for request in self.tick(seconds).requests]

    def end(self, **outcomes):
        """E.g. ``end(succeeded="0:0-10#1")``."""
        for state, keys in outcomes.items():
            for key in keys.split():
                assert f"{self.ledger.planning_id}:{key}" in self.states
                self.states[f"{self.ledger.planning_id}:{key}"] = RunState(state)


def short(run_key):
    """Without topic id and generation."""
    return run_key.split(":", 2)[2]


def gone(result):
    return [(str(a.offsets), a.attempts, a.reason) for a in result.abandoned]


# New ranges


def test_the_first_plan_starts_at_the_low_watermark():
    queue = Queue(0)
    queue.marks = {0: Watermarks(7, 12)}
    assert queue.requested() == ["0:7-12#1"]


def test_a_quiet_queue_requests_nothing():
    assert Queue(0, 0).requested() == []


def test_every_partition_is_planned_up_to_its_limit_in_flight():
    queue = Queue(100, 5, limits=LIMITS)
    assert queue.requested() == ["0:0-25#1", "0:25-43#1", "1:0-5#1"]
    assert queue.requested() == []


@pytest.mark.parametrize(
    ("backlog", "size"), [(1, 1), (10, 10), (11, 10), (40, 10), (80, 20), (160, 40), (9999, 40)]
)
def test_ranges_grow_with_the_backlog(backlog, size):
    assert LIMITS.range_size(backlog) == size


def test_a_finished_range_makes_room_for_the_next():
    queue = Queue(30)
    assert queue.requested() == ["0:0-10#1", "0:10-20#1"]
    queue.end(succeeded="0:10-20#1", running="0:0-10#1")
    result = queue.tick()
    assert [str(offsets) for offsets in result.finished] == ["storage_queue:0:10-20"]
    assert [short(r.run_key) for r in result.requests] == ["0:20-30#1"]


def test_a_range_can_be_cut_by_the_bytes_of_its_objects():
    queue = Queue(20, cut=lambda offsets: offsets.start + 3)
    assert queue.requested() == ["0:0-3#1", "0:3-6#1"]


@pytest.mark.parametrize(("answer", "end"), [(-5, 1), (0, 1), (4, 4), (99, 10)])
def test_a_cut_never_empties_nor_extends_a_range(answer, end):
    queue = Queue(10, cut=lambda _: answer)
    assert queue.requested()[0] == f"0:0-{end}#1"


def test_a_partition_that_is_added_starts_at_its_low_watermark():
    queue = Queue(5)
    queue.tick()
    queue.marks[1] = Watermarks(2, 4)
    assert queue.requested() == ["1:2-4#1"]


# Failures


def test_a_transient_failure_comes_back_without_end_and_with_growing_pauses():
    queue = Queue(10)
    key = queue.requested()[0]
    pauses = []
    for attempt in range(2, 60):
        queue.end(failed_transient=key)
        assert queue.requested(0) == []
        seconds = 0
        while not (keys := queue.requested(1)):
            seconds += 1
        pauses.append(seconds + 1)
        (key,) = keys
        assert key == f"0:0-10#{attempt}"
    assert pauses[:6] == [5, 10, 20, 40, 60, 60]
    assert pauses[-1] == 60


def test_an_unknown_failure_is_abandoned_after_the_last_attempt():
    queue = Queue(10)
    for attempt in (1, 2):
        assert queue.requested(60) == [f"0:0-10#{attempt}"]
        queue.end(failed_unknown=f"0:0-10#{attempt}")
        assert gone(queue.tick()) == []
    assert queue.requested(60) == ["0:0-10#3"]
    queue.end(failed_unknown="0:0-10#3")
    assert gone(queue.tick()) == [
        ("storage_queue:0:0-10", 3, "the run failed 3 times for an unknown reason")
    ]
    assert queue.ledger.outstanding == []


def test_transient_failures_do_not_use_up_the_attempts_for_crashes():
    queue = Queue(10)
    key = queue.requested()[0]
    for state in ["failed_transient"] * 5 + ["failed_unknown"] * 2:
        queue.end(**{state: key})
        queue.tick()
        (key,) = queue.requested(60)
    queue.end(failed_unknown=key)
    assert [a.attempts for a in queue.tick().abandoned] == [8]


@pytest.mark.parametrize("state", ["failed_permanent", "canceled"])
def test_what_retrying_cannot_help_is_abandoned_at_once(state):
    queue = Queue(10)
    queue.tick()
    queue.end(**{state: "0:0-10#1"})
    ((offsets, attempts, reason),) = gone(queue.tick())
    assert (offsets, attempts) == ("storage_queue:0:0-10", 1)
    assert reason.startswith("the run ")
    assert queue.requested(600) == []


def test_a_lost_request_is_made_again_as_the_same_attempt():
    queue = Queue(10)
    assert queue.requested() == ["0:0-10#1"]
    queue.states.clear()
    assert queue.requested(1) == []
    assert queue.requested(5) == ["0:0-10#1"]


def test_a_crashing_range_does_not_stop_its_partition():
    queue = Queue(100)
    queue.tick()
    queue.end(failed_unknown="0:0-25#1 0:25-43#1")
    assert queue.requested(1) == ["0:43-57#1", "0:57-67#1"]


def test_ranges_in_backoff_are_bounded_in_number():
    queue = Queue(10_000, limits=LIMITS)
    for _ in range(20):
        queue.tick(0)
        queue.end(
            failed_unknown=" ".join(
                short(key) for key, state in queue.states.items() if state is RunState.WAITING
            )
        )
    assert len(queue.ledger.outstanding) == LIMITS.outstanding_max


# The circuit-breaker


def test_an_outage_is_probed_by_one_range_at_a_time():
    queue = Queue(1000, 1000)
    assert len(queue.requested()) == 4
    queue.states = dict.fromkeys(queue.states, RunState.FAILED_TRANSIENT)
    assert queue.requested(1) == []
    assert queue.requested(4) == []
    (probe,) = queue.requested(1)
    assert queue.requested(60) == []
    queue.end(failed_transient=probe)
    assert queue.requested(1) == []
    assert queue.requested(9) == []
    assert len(queue.requested(1)) == 1


def test_a_long_outage_adds_few_ranges_and_then_none():
    queue = Queue(100_000)
    for _ in range(300):
        queue.tick(60)
        queue.states = dict.fromkeys(queue.states, RunState.FAILED_TRANSIENT)
    assert len(queue.ledger.outstanding) == LIMITS.outstanding_max
    assert max(one.attempt for one in queue.ledger.outstanding) > 30


def test_probes_take_turns_between_new_ranges_and_retries():
    queue = Queue(1000)
    queue.tick()
    attempts = []
    for _ in range(6):
        queue.states = dict.fromkeys(queue.states, RunState.FAILED_TRANSIENT)
        queue.tick(0)
        (probe,) = queue.tick(60).requests
        attempts.append(probe.attempt > 1)
    assert attempts == [False, True, False, True, False, True]


def test_the_end_of_an_outage_makes_everything_due_at_once():
    queue = Queue(20, 20)
    queue.tick()
    for seconds in (5, 10, 20, 40, 60, 60, 60, 60):
        queue.states = dict.fromkeys(queue.states, RunState.FAILED_TRANSIENT)
        queue.tick(0)
        assert len(queue.tick(seconds).requests) == 1
    (probe,) = [key for key, state in queue.states.items() if state is RunState.WAITING]
    queue.states[probe] = RunState.SUCCEEDED
    result = queue.tick(0)
    assert len(result.requests) == 3
    assert result.ledger.breaker == Breaker()


def test_one_range_that_always_fails_does_not_look_like_an_outage():
    queue = Queue(10)
    poison = 0
    for _ in range(200):
        queue.marks = {0: Watermarks(0, queue.marks[0].high + 10)}
        for request in queue.tick().requests:
            bad = request.offsets.start == 0
            poison += bad
            state = RunState.FAILED_TRANSIENT if bad else RunState.SUCCEEDED
            queue.states[request.run_key] = state
    assert lag(queue.ledger, queue.marks, {})[0] < 100
    assert 10 < poison < 30


# The topic changes under the ledger


def test_a_topic_created_again_starts_over_and_abandons_the_old_ranges():
    queue = Queue(30)
    queue.tick()
    queue.end(succeeded="0:0-10#1")
    queue.topic_id = "B"
    queue.marks = {0: Watermarks(0, 5)}
    result = queue.tick()
    assert [is_of_topic(offsets, "A") for offsets in result.finished] == [True]
    (old,) = result.abandoned
    assert is_of_topic(old.offsets, "A")
    assert str(old.offsets) == "storage_queue:0:10-20"
    assert old.reason.startswith("the topic was deleted and created again")
    (request,) = result.requests
    assert is_of_topic(request.offsets, "B")
    assert str(request.offsets) == "storage_queue:0:0-5"


def test_an_abandoned_range_counts_the_attempts_that_were_made():
    queue = Queue(20)
    queue.tick()
    queue.end(failed_unknown="0:0-10#1", running="0:10-20#1")
    queue.tick()
    queue.topic_id = "B"
    assert [attempts for _, attempts, _ in gone(queue.tick())] == [1, 1]


def test_what_retention_took_before_it_was_planned_is_abandoned():
    queue = Queue(10)
    queue.tick()
    queue.marks = {0: Watermarks(25, 30)}
    result = queue.tick()
    ((offsets, attempts, reason),) = gone(result)
    assert (offsets, attempts) == ("storage_queue:0:10-25", 0)
    assert "the log starts at 25" in reason
    assert [short(r.run_key) for r in result.requests] == ["0:25-30#1"]


@pytest.mark.parametrize("high", [4, 10, 16], ids=["shorter", "as long", "longer by now"])
def test_a_log_restored_from_an_older_copy_is_planned_again_from_its_start(high):
    queue = Queue(10)
    (key,) = queue.tick().requests
    queue.states[key.run_key] = RunState.SUCCEEDED
    queue.tick()
    queue.restore(4)
    queue.marks = {0: Watermarks(0, high)}
    result = queue.tick()
    assert result.requests[0].offsets.start == 0
    assert max(r.offsets.end for r in result.requests) == high
    assert all(r.offsets.topic_id != key.offsets.topic_id for r in result.requests)
    assert all(is_of_topic(r.offsets, "A") for r in result.requests)
    assert queue.tick().abandoned == []


def test_what_was_unfinished_when_the_log_was_restored_is_told():
    queue = Queue(10)
    queue.tick()
    queue.restore(4)
    ((offsets, attempts, reason),) = gone(queue.tick())
    assert (offsets, attempts) == ("storage_queue:0:0-10", 1)
    assert "the event log lost messages" in reason


def test_one_restored_partition_starts_all_over():
    queue = Queue(10, 10)
    queue.tick()
    queue.marks[1] = Watermarks(0, 9)
    assert queue.requested() == ["0:0-10#1", "1:0-9#1"]


def test_a_log_whose_planned_messages_were_all_trimmed_goes_on():
    queue = Queue(10)
    queue.tick()
    queue.end(succeeded="0:0-10#1")
    queue.marks = {0: Watermarks(10, 12)}
    assert queue.requested() == ["0:10-12#1"]


def test_an_emptied_cursor_runs_everything_again():
    queue = Queue(10)
    (before,) = queue.tick().requests
    queue.states[before.run_key] = RunState.SUCCEEDED
    queue.cursor = ""
    (again,) = queue.tick().requests
    assert str(again.offsets) == str(before.offsets)
    assert again.run_key != before.run_key
    assert is_of_topic(again.offsets, "A")


def test_a_tick_that_was_not_saved_gives_the_same_keys_again():
    queue = Queue(5)
    queue.tick()
    queue.marks = {0: Watermarks(0, 9)}
    saved = queue.cursor
    first = queue.requested()
    queue.cursor = saved
    assert [r.run_key for r in queue.tick().requests] == [
        f"{decode(saved).planning_id}:{key}" for key in first
    ]


def test_a_ledger_of_an_earlier_version_goes_on_under_its_keys():
    queue = Queue(30)
    queue.cursor = '{"topic_id":"A","next":{"0":20},"outstanding":[]}'
    assert [r.run_key for r in queue.tick().requests] == ["A:0:20-30#1"]
    assert queue.ledger.stamps == {0: 29}


# What follows from a ledger

LEDGER = Ledger(
    topic_id="A",
    generation="g",
    stamps={0: 7},
    next={0: 50, 1: 8},
    outstanding=[
        Outstanding(partition=0, start=20, end=30),
        Outstanding(partition=0, start=40, end=50, attempt=3, crashes=1),
    ],
    breaker=Breaker(2, 99),
)
MARKS = {0: Watermarks(5, 60), 1: Watermarks(0, 8), 2: Watermarks(3, 4)}


def test_lag_counts_unplanned_outstanding_and_abandoned_messages():
    assert lag(LEDGER, MARKS, {1: 4}) == {0: 10 + 10 + 10, 1: 4, 2: 1}


def test_the_oldest_unprocessed_offset_is_the_first_unfinished_one():
    assert oldest_unprocessed(LEDGER, MARKS) == {0: 20, 2: 3}
    assert oldest_unprocessed(LEDGER, {0: Watermarks(25, 60)}) == {0: 25}


def test_committed_is_the_lowest_unfinished_offset():
    assert committed(LEDGER) == {0: 20, 1: 8}


def test_a_ledger_survives_as_json():
    assert decode(encode(LEDGER)) == LEDGER
    assert decode(None) == decode("") == Ledger()


def test_a_cursor_that_is_no_ledger_says_what_to_do():
    with pytest.raises(ConfigurationError, match=r"cursor is not a ledger .*empty the cursor"):
        decode('{"next": 3}')


def test_the_settings_give_the_limits():
    limits = Limits.from_settings(Settings(_env_file=None, stream_backoff_seconds=0.5))
    assert limits.backoff_us == 500_000
    assert limits.in_flight == 2


def test_planning_knows_no_dagster():
    code = (
        "import dicom_pipeline.streams, dicom_pipeline.ranges, sys; print('dagster' in sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True
    )
    assert output.stdout.strip() == "False"
