"""Who does not answer is left alone, and asked again after a while."""

import pytest

from dicom_pipeline.cache.breaker import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    CircuitBreaker,
)


class Clock:
    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def breaker(clock):
    return CircuitBreaker(clock)


def test_all_goes_through_while_nothing_fails(breaker):
    assert all(breaker.lets_through() for _ in range(10))
    assert not breaker.succeeded()


def test_after_one_failure_nothing_goes_through_for_a_while(breaker, clock):
    breaker.failed()
    assert not breaker.lets_through()
    clock.seconds += FIRST_PAUSE_SECONDS
    assert breaker.lets_through()


def test_after_the_pause_one_tries_and_the_others_wait(breaker, clock):
    breaker.failed()
    clock.seconds += FIRST_PAUSE_SECONDS
    assert [breaker.lets_through() for _ in range(3)] == [True, False, False]


def test_the_pauses_grow_up_to_a_limit(breaker, clock):
    pauses = []
    for _ in range(8):
        breaker.failed()
        started = clock.seconds
        while not breaker.lets_through():
            clock.seconds += 0.5
        pauses.append(clock.seconds - started)
    assert pauses[:3] == [1, 2, 4]
    assert pauses[-1] == LONGEST_PAUSE_SECONDS


def test_a_success_ends_the_outage_and_the_next_one_begins_small(breaker, clock):
    assert breaker.failed()
    assert not breaker.failed(), "the same outage"
    assert breaker.succeeded()
    assert breaker.lets_through()
    assert breaker.failed(), "another one"
    clock.seconds += FIRST_PAUSE_SECONDS
    assert breaker.lets_through()
