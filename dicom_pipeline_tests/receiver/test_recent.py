"""A value that is dear to read is read rarely, and never waited for long."""

import threading

import pytest

from receiver import recent
from receiver.recent import Recent


def test_a_young_value_is_not_read_again():
    readings = iter(range(10))
    value = Recent(lambda: next(readings), busy=-1)
    assert [value(), value(), value()] == [0, 0, 0]


def test_an_old_value_is_read_again():
    readings = iter(range(10))
    value = Recent(lambda: next(readings), busy=-1, keep_seconds=0)
    assert [value(), value(), value()] == [0, 1, 2]


def test_an_error_is_the_callers_and_is_not_kept():
    outcomes = [OSError("away"), 7]

    def read():
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    value = Recent(read, busy=-1)
    with pytest.raises(OSError, match="away"):
        value()
    assert value() == 7


def test_whoever_asks_while_a_reading_hangs_is_told_so(monkeypatch):
    monkeypatch.setattr(recent, "_WAIT_SECONDS", 0.05)
    reading, go_on = threading.Event(), threading.Event()

    def read():
        reading.set()
        go_on.wait(10)
        return 1

    value = Recent(read, busy=-1)
    first = threading.Thread(target=value)
    first.start()
    assert reading.wait(10)
    assert value() == -1
    go_on.set()
    first.join()
    assert value() == 1
