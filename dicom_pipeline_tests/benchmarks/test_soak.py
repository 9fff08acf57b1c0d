"""What the soak measures by."""

import threading
import time

import pytest

from benchmarks.soak import Level
from benchmarks.soak_senders import Budget

BEFORE = Level(threads=7, descriptors=13, rss=100 << 20)


@pytest.mark.parametrize(
    ("after", "near"),
    [
        (BEFORE, True),
        (Level(9, 17, 164 << 20), True),
        (Level(10, 13, 100 << 20), False),
        (Level(7, 18, 100 << 20), False),
        (Level(7, 13, 165 << 20), False),
    ],
)
def test_a_receiver_that_keeps_more_than_a_little_is_not_back_at_its_level(after, near):
    assert after.near(BEFORE) is near


def test_a_budget_spreads_the_bytes_over_the_time():
    budget, stop = Budget(total=1000, seconds=1), threading.Event()
    began = time.monotonic()
    assert all(budget.take(100, stop) for _ in range(3))
    assert 0.25 < time.monotonic() - began < 5


def test_the_end_of_the_soak_ends_the_wait_for_the_budget():
    budget, stop = Budget(total=1, seconds=1000), threading.Event()
    threading.Timer(0.1, stop.set).start()
    assert not budget.take(1 << 20, stop)
