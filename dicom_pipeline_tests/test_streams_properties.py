"""Whatever the order of events: no message is lost, none is planned twice."""

from collections import Counter
from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from dicom_pipeline.event_log import Watermarks
from dicom_pipeline.streams import Limits, RunState, committed, decode, encode, lag, plan

SECOND = 1_000_000
LIMITS = Limits(
    in_flight=2,
    range_messages=5,
    range_messages_max=12,
    max_attempts=2,
    backoff_us=SECOND,
    backoff_max_us=8 * SECOND,
    outstanding_max=6,
)
ACTIVE = {RunState.WAITING, RunState.RUNNING}


class AnyQueue(RuleBasedStateMachine):
    """A queue that grows, is trimmed, restored and created anew; its runs end in any way."""

    def __init__(self):
        super().__init__()
        self.now = SECOND
        self.generation = 0
        self.cursor = None
        self.marks = {}
        self.first = {}  # (topic id, partition) -> where planning started
        self.states = {}
        self.requested = {}  # run key -> (range, attempt)
        self.done = []  # finished and abandoned ranges
        self.cut_by = 100
        self.log = {}  # partition -> when each message was published
        self.published = 0
        self.seen = set()  # messages, by that time, that were in a requested or abandoned range
        self.restored = False  # and no tick has looked since

    @property
    def topic_id(self):
        return f"id{self.generation}"

    @initialize(partitions=st.integers(1, 3))
    def create(self, partitions):
        self.marks = dict.fromkeys(range(partitions), Watermarks(0, 0))
        self.log = {partition: [] for partition in range(partitions)}

    @rule(partition=st.integers(0, 2), messages=st.integers(1, 60))
    def publish(self, partition, messages):
        low, high = self.marks.get(partition, Watermarks(0, 0))
        self.marks[partition] = Watermarks(low, high + messages)
        times = range(self.published, self.published + messages)
        self.log.setdefault(partition, []).extend(times)
        self.published += messages

    def timestamp(self, partition, offset):
        low, high = self.marks[partition]
        return self.log[partition][offset] if low <= offset < high else None

    @rule(data=st.data(), more=st.integers(0, 60))
    def restore_a_copy(self, data, more):
        """Before the next tick the copy may grow beyond what was planned."""
        if not self.marks:
            return
        partition = data.draw(st.sampled_from(sorted(self.marks)))
        low, high = self.marks[partition]
        end = data.draw(st.integers(low, high))
        self.marks[partition] = Watermarks(low, end)
        del self.log[partition][end:]
        self.restored = True
        if more:
            self.publish(partition, more)

    @rule(partition=st.integers(0, 2), messages=st.integers(1, 30))
    def trim(self, partition, messages):
        # Retention stops at the committed offset, which a restored copy has from before its end.
        if partition in self.marks and not self.restored:
            low, high = self.marks[partition]
            self.marks[partition] = Watermarks(min(low + messages, high), high)

    @rule(partitions=st.integers(1, 3))
    @precondition(lambda self: self.generation < 2)
    def create_again(self, partitions):
        self.generation += 1
        self.create(partitions)

    @rule(size=st.integers(-1, 20))
    def bound_by_bytes(self, size):
        self.cut_by = size

    @rule(data=st.data(), state=st.sampled_from(sorted(RunState)))
    def run_changes(self, data, state):
        alive = sorted(key for key, now in self.states.items() if now in ACTIVE)
        if alive:
            key = data.draw(st.sampled_from(alive))
            if state is RunState.UNKNOWN:
                del self.states[key]
            else:
                self.states[key] = state

    @rule(seconds=st.integers(0, 10))
    def tick(self, seconds):
        self.now += seconds * SECOND + 1
        before = decode(self.cursor)
        result = plan(
            before,
            "queue",
            self.topic_id,
            self.marks,
            self.states,
            self.now,
            LIMITS,
            self.timestamp,
            lambda offsets: offsets.start + self.cut_by,
        )
        for partition, (low, _) in self.marks.items():
            self.first.setdefault((result.ledger.planning_id, partition), low)
        self.restored = False
        self.cursor = encode(result.ledger)
        assert decode(self.cursor) == result.ledger
        self.done += result.finished
        self.done += [one.offsets for one in result.abandoned]
        for request in result.requests:
            offsets = request.offsets
            low, high = self.marks[offsets.partition]
            assert offsets.start < offsets.end <= high
            assert self.requested.setdefault(request.run_key, request) == request
            assert request.run_key not in self.states
            self.states[request.run_key] = RunState.WAITING
            self.seen.update(self.log[offsets.partition][offsets.start : offsets.end])
        active = Counter(
            one.offsets.partition
            for one in result.ledger.attempts("queue")
            if self.states.get(one.run_key) in ACTIVE
        )
        assert all(number <= LIMITS.in_flight for number in active.values())
        if result.ledger.breaker.failures:
            assert len(result.requests) <= 1

    @invariant()
    def every_planned_offset_is_in_exactly_one_place(self):
        ledger = decode(self.cursor)
        places = self.done + [one.offsets for one in ledger.attempts("queue")]
        for (topic_id, partition), first in self.first.items():
            mine = sorted(
                one for one in places if (one.topic_id, one.partition) == (topic_id, partition)
            )
            for one, following in pairwise(mine):
                assert one.end == following.start
            if mine:
                assert mine[0].start == first
            if topic_id == ledger.planning_id:
                assert (mine[-1].end if mine else first) == ledger.next[partition]

    @invariant()
    def lag_and_committed_agree(self):
        ledger = decode(self.cursor)
        if ledger.topic_id == self.topic_id:
            waiting = lag(ledger, self.marks, {})
            for partition, offset in committed(ledger).items():
                assert waiting[partition] >= 0
                assert offset <= ledger.next[partition]

    def teardown(self):
        """Once every run succeeds, everything is processed within a bounded time."""
        for _ in range(400):
            self.states = {
                key: RunState.SUCCEEDED if state in ACTIVE else state
                for key, state in self.states.items()
            }
            self.tick(10)
            self.every_planned_offset_is_in_exactly_one_place()
            ledger = decode(self.cursor)
            if not ledger.outstanding and not any(lag(ledger, self.marks, {}).values()):
                self.every_message_was_in_a_range()
                return
        raise AssertionError(f"not processed in the end: {ledger}")

    def every_message_was_in_a_range(self):
        for partition, (low, high) in self.marks.items():
            assert self.seen.issuperset(self.log[partition][low:high])


TestAnyQueue = AnyQueue.TestCase
TestAnyQueue.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
