"""Refused rows become dead letters, all others rows, wherever Doris stands and whatever breaks."""

import re

import pytest

from dicom_pipeline.errors import PermanentError, TransientError
from dicom_pipeline.messages import LOG_QUEUE, decode_dead_letter, encode
from dicom_pipeline.routine_load.refusals import REFUSED_ROW, Refusal, Rules
from dicom_pipeline.routine_load.repair import repair
from dicom_pipeline.routine_load.state import Code, State
from dicom_pipeline.warehouse.doris.options import parse_options
from dicom_pipeline_tests.routine_load.conftest import PARTITIONS, QUEUES, event, trace

LOOK_AHEAD = 1000


def letters(world):
    """The dead letters by what they are of; a repeated repair may publish one again."""
    found = map(decode_dead_letter, world.dead_letters())
    return {(letter.partition, letter.offset): letter for letter in found}


def paused_by_bad_rows(world):
    """10 good, 3 refused, 10 good messages; paused by the refused ones."""
    world.load.create()
    world.wait_for_state(State.RUNNING)
    world.load.pause()
    world.publish(range(10))
    world.publish_bad(3)
    world.publish(range(10, 20))
    world.load.resume()
    world.wait_for_state(State.PAUSED)


@pytest.mark.service
@pytest.mark.parametrize("rereads", [False, True], ids=["reads past", "reads again"])
def test_after_a_repair_no_good_row_is_missing_and_no_bad_one_is_forgotten(world, rereads):
    world.cluster.routine_loads.rereads = rereads
    world.cluster.routine_loads.batch_rows = 5
    paused_by_bad_rows(world)
    assert world.state().reason.code == Code.TOO_MANY_FAILURE_ROWS
    report = repair(world.managed, LOOK_AHEAD)
    assert sum(report.dead_letters.values()) == len(letters(world)) == 3
    assert report.resumed
    world.wait_until_read()
    assert world.state().state is State.RUNNING
    assert world.receipts() == [trace(number) for number in range(20)]


@pytest.mark.service
@pytest.mark.parametrize("rereads", [False, True], ids=["reads past", "reads again"])
@pytest.mark.parametrize("step", ["publish", "load", "alter", "commit", "resume"])
def test_cut_off_at_any_step_it_may_be_repeated(world, monkeypatch, step, rereads):
    world.cluster.routine_loads.rereads = rereads
    paused_by_bad_rows(world)
    steps = {
        "publish": (type(world.log), "publish"),
        "load": (type(world.warehouse), "load"),
        "alter": (type(world.load), "alter_paused"),
        "commit": (type(world.log), "commit"),
        "resume": (type(world.load), "resume_anyway"),
    }
    target, name = steps[step]
    done = getattr(target, name)

    def cut_off(*arguments):
        done(*arguments)
        raise TransientError("cut off")

    with monkeypatch.context() as patch:
        patch.setattr(target, name, cut_off)
        if step == "alter" and not rereads:
            repair(world.managed, LOOK_AHEAD)  # Doris has read past them already
        else:
            with pytest.raises(TransientError, match="cut off"):
                repair(world.managed, LOOK_AHEAD)
    repair(world.managed, LOOK_AHEAD)
    world.wait_until_read()
    assert len(letters(world)) == 3
    assert world.receipts() == [trace(number) for number in range(20)]
    assert world.state().state is State.RUNNING


@pytest.mark.service
def test_repeated_it_finds_nothing_more_to_do(world):
    paused_by_bad_rows(world)
    repair(world.managed, LOOK_AHEAD)
    world.wait_until_read()
    repair(world.managed, LOOK_AHEAD)
    report = repair(world.managed, LOOK_AHEAD)
    assert (report.messages, report.loaded, report.moved) == (0, 0, {})
    assert len(world.dead_letters()) == 3


@pytest.mark.service
def test_a_newer_word_on_a_receipt_survives_the_repair(world):
    paused_by_bad_rows(world)
    world.publish([4], phase=2, target_ts="1.2.840.10008.1.2.4.80")
    repair(world.managed, LOOK_AHEAD)
    world.wait_until_read()
    repair(world.managed, LOOK_AHEAD)
    (row,) = world.warehouse.query(
        "SELECT target_ts FROM dicom_object_meta WHERE trace_id = :id", id=trace(4)
    )
    assert row == {"target_ts": "1.2.840.10008.1.2.4.80"}


@pytest.mark.service
def test_rows_that_doris_dropped_while_running_become_dead_letters_too(world):
    world.load.create()
    world.wait_until_read()
    world.load.alter({"max_error_number": "1000"})
    world.publish(range(5))
    world.publish_bad(4)
    world.wait_until_read()
    assert world.state().state is State.RUNNING
    assert world.state().statistic.error_rows == 4
    report = repair(world.managed, LOOK_AHEAD)
    assert report.moved == {}
    assert len(letters(world)) == 4
    world.wait_for_state(State.RUNNING)


@pytest.mark.service
def test_killed_while_it_works_it_leaves_the_load_paused_and_the_same_call_goes_on(
    world, monkeypatch
):
    world.load.create()
    world.publish(range(5))
    world.wait_until_read()
    world.load.alter({"max_error_number": "1000"})
    world.publish_bad(2)
    world.wait_until_read()

    class Killed(BaseException): ...

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(type(world.log), "commit", kill)
        patch.setattr(type(world.load), "_restore", lambda _: None)  # the killed restore nothing
        with pytest.raises(Killed):
            repair(world.managed, LOOK_AHEAD)
    assert world.state().reason.code == Code.MANUAL_PAUSE
    repair(world.managed, LOOK_AHEAD)
    world.wait_for_state(State.RUNNING)
    assert len(letters(world)) == 2
    assert len(world.receipts()) == 5


@pytest.mark.service
def test_it_stays_paused_when_that_is_wanted(world):
    paused_by_bad_rows(world)
    assert not repair(world.managed, LOOK_AHEAD, resume=False).resumed
    assert world.state().state is State.PAUSED


@pytest.mark.service
def test_offsets_that_are_gone_are_told_and_passed(world):
    world.load.create()
    world.publish(range(20))
    world.wait_until_read()
    world.load.pause()
    world.publish(range(20, 40))
    gone = 0
    for partition, marks in world.log.watermarks(LOG_QUEUE).items():
        stands = world.state().progress[partition]
        world.log.trim(LOG_QUEUE, partition, min(stands + 2, marks.high))
        gone += min(stands + 2, marks.high) - stands
    world.load.resume()
    world.wait_for_state(State.PAUSED)
    assert world.state().reason.code == Code.CANNOT_RESUME
    with pytest.raises(PermanentError, match="repair it"):
        world.load.resume()
    assert repair(world.managed, LOOK_AHEAD).gone == gone
    world.wait_until_read()
    assert len(world.receipts()) == 40 - gone


@pytest.mark.service
def test_a_topic_that_was_created_anew_is_told_and_nothing_is_done(world, kafka):
    world.load.create()
    world.wait_until_read()
    kafka.delete_topics(world.load.topic)
    world.log.create_topics(QUEUES, PARTITIONS)
    with pytest.raises(PermanentError, match="deleted and created again"):
        repair(world.managed, LOOK_AHEAD)


def encoded(**changes):
    return encode(event(1, **changes))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"source_ae": "检" * 22}, "source_ae: too long: 66 bytes, the column holds 64"),
        ({"tenant_id": "检" * 22}, "tenant_id"),
        ({"study_date": "20261301"}, "study_date"),
        ({"created_time": "yesterday"}, "created_time"),
        ({"created_time": "2026-01-31T12:00:00.000001+08:00"}, "created_time"),
    ],
)
def test_what_a_column_cannot_hold_is_refused_without_its_value(cluster, changes, reason):
    refusal = Rules(parse_options(cluster.url("test"))).judge(encoded(**changes))
    assert isinstance(refusal, Refusal)
    assert refusal.code == REFUSED_ROW
    assert re.search(reason, refusal.reason)
    for value in changes.values():
        assert value not in refusal.reason


@pytest.mark.parametrize("value", [b"", b"\xff", b"[]", b"{}", b'{"trace_id": 1}', b"null"])
def test_what_is_no_event_is_refused(cluster, value):
    refusal = Rules(parse_options(cluster.url("test"))).judge(value)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "unreadable_event"
