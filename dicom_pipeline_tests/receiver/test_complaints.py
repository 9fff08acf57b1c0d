import logging

import pytest

from receiver.complaints import Complaints


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr("receiver.complaints.time.monotonic", lambda: now[0])
    return now


def test_one_kind_is_told_once_a_second_with_the_number_left_out(clock, caplog):
    complaints = Complaints()
    for _ in range(50):
        complaints.tell("flood", "refused: %s", "why")
        clock[0] += 0.1
    assert [record.getMessage() for record in caplog.records] == ["refused: why"] * len(
        caplog.records
    )
    assert 5 <= len(caplog.records) <= 6
    assert not hasattr(caplog.records[0], "omitted_before")
    assert caplog.records[1].omitted_before in {9, 10}


def test_kinds_do_not_silence_each_other(clock, caplog):
    complaints = Complaints()
    for kind in ("one", "other", "one", "other"):
        complaints.tell(kind, kind)
    assert [record.getMessage() for record in caplog.records] == ["one", "other"]


def test_what_is_told_has_its_context_and_is_a_warning(clock, caplog):
    complaints = Complaints()
    complaints.tell("kind", "message", extra={"calling_ae": "SCU"})
    clock[0] += 1
    complaints.tell("kind", "message", extra={"calling_ae": "OTHER"})
    assert [record.calling_ae for record in caplog.records] == ["SCU", "OTHER"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert not hasattr(caplog.records[1], "omitted_before"), "none was left out"


def test_the_first_is_told_even_right_after_the_machine_has_started(clock, caplog):
    clock[0] = 0.0
    Complaints().tell("kind", "message")
    assert len(caplog.records) == 1
