"""A sink is away for four hours, by a clock that runs faster: nobody is needed afterwards.

Only the planning of ranges is looked at here; `test_outages` has real servers and short outages.
"""

import random
from collections import Counter

import pytest

from dicom_pipeline.event_log import Watermarks
from dicom_pipeline.settings import Settings
from dicom_pipeline.streams import Limits, RunState, committed, decode, encode, lag, plan

SECOND = 1_000_000
TICK_SECONDS = 5
RUN_TICKS = 2
BEFORE, OUTAGE, AFTER = 600, 4 * 3600, 7200
PARTITIONS = 3
MESSAGES_A_TICK = 8
MAX_ATTEMPTS = 2
PROBES = 200
"""Runs that a queue may start in vain in four hours."""


class Site:
    """A queue that receives without a pause, the ticks of its sensor, and its runs."""

    def __init__(self, seed):
        self.chance = random.Random(seed)
        settings = Settings(stream_range_messages=50, stream_max_attempts=MAX_ATTEMPTS)
        self.limits = Limits.from_settings(settings)
        self.now = 1_770_000_000 * SECOND
        self.marks = dict.fromkeys(range(PARTITIONS), Watermarks(0, 0))
        self.cursor = None
        self.runs = {}  # run key -> (state, ticks that it still takes)
        self.requests = 0
        self.processed = []
        self.abandoned = []
        self.lags = []

    def receive(self):
        for _ in range(MESSAGES_A_TICK):
            partition = self.chance.randrange(PARTITIONS)
            low, high = self.marks[partition]
            self.marks[partition] = Watermarks(low, high + 1)

    def tick(self, *, away, receiving=True):
        self.now += TICK_SECONDS * SECOND
        if receiving:
            self.receive()
        self.work(away=away)
        states = {key: state for key, (state, _) in self.runs.items()}
        result = plan(
            decode(self.cursor),
            "queue",
            "topic",
            self.marks,
            states,
            self.now,
            self.limits,
            lambda _, offset: offset,
        )
        self.cursor = encode(result.ledger)
        self.processed += result.finished
        self.abandoned += result.abandoned
        for request in result.requests:
            assert request.run_key not in self.runs, "no attempt is made twice"
            self.requests += 1
            if not (away and self.chance.random() < 0.05):  # some requests are lost
                self.runs[request.run_key] = (RunState.RUNNING, RUN_TICKS)
        self.lags.append(sum(lag(result.ledger, self.marks, {}).values()))
        return result

    def work(self, *, away):
        """Runs come to their end: with the sink away in failure."""
        for key, (state, ticks) in self.runs.items():
            if state is RunState.RUNNING and ticks > 1:
                self.runs[key] = (state, ticks - 1)
            elif state is RunState.RUNNING:
                self.runs[key] = (RunState.FAILED_TRANSIENT if away else RunState.SUCCEEDED, 0)

    def outstanding(self):
        done = Counter()
        for offsets in self.processed:
            done[offsets.partition] += len(offsets)
        return sum(high for _, high in self.marks.values()) - sum(done.values())


@pytest.mark.parametrize("seed", range(2))
def test_work_of_a_four_hour_outage_comes_back_by_itself(seed):
    site = Site(seed)
    for _ in range(BEFORE // TICK_SECONDS):
        site.tick(away=False)
    before = site.requests
    for _ in range(OUTAGE // TICK_SECONDS):
        site.tick(away=True)
        assert site.lags[-1] == site.outstanding() > 0
    assert site.requests - before < PROBES
    attempts = [one.attempt for one in decode(site.cursor).outstanding]
    assert max(attempts) > MAX_ATTEMPTS, "they have run out"

    ticks = 0
    while site.outstanding() or site.lags[-1]:
        site.tick(away=False, receiving=ticks < 60)
        ticks += 1
        assert ticks < AFTER // TICK_SECONDS
        assert (site.lags[-1] == 0) == (site.outstanding() == 0)
    assert site.abandoned == []
    covered = Counter(
        (offsets.partition, offset)
        for offsets in site.processed
        for offset in range(offsets.start, offsets.end)
    )
    assert set(covered.values()) == {1}
    assert covered.total() == sum(high for _, high in site.marks.values())
    assert committed(decode(site.cursor)) == {n: mark.high for n, mark in site.marks.items()}


def test_the_backlog_of_four_hours_is_worked_off_in_few_ranges():
    site = Site(0)
    for _ in range(OUTAGE // TICK_SECONDS):
        site.tick(away=True)
    before = len(site.processed)
    messages = site.outstanding()
    while site.outstanding():
        site.tick(away=False, receiving=False)
    assert len(site.processed) - before < messages / 50
