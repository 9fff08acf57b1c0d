"""What follows from looks at the routine load: what is accounted for, who must act, when."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_pipeline.event_log import Watermarks
from dicom_pipeline.routine_load.state import State, parse
from dicom_pipeline.routine_load.watching import (
    FIRST_RESUME,
    MOST_RESUMES,
    Seen,
    Watch,
    decode,
    encode,
    judge,
    lag,
    tells_anew,
)

NOW = 1_769_860_800_000_000
TICK = 5_000_000


def shown(state="RUNNING", *, progress=None, code=None, message="", id=1, comment=None, **rows):  # noqa: A002 - Doris' own name
    """A row of SHOW ROUTINE LOAD."""
    return parse(
        {
            "Id": id,
            "Name": "dicom_routine_load",
            "State": state,
            "TableName": "dicom_object_meta",
            "DataSourceProperties": json.dumps({"topic": "log_queue"}),
            "CustomProperties": json.dumps({"sasl.password": "hush", "group.id": "g"}),
            "Statistic": json.dumps(rows),
            "Progress": json.dumps(progress or {"0": "OFFSET_ZERO"}),
            "Lag": "{}",
            "ReasonOfStateChanged": (
                f"ErrorReason{{code=errCode = {code}, msg='{message}'}}" if code else ""
            ),
            "ErrorLogUrls": "",
            "Comment": comment or "log_queue, topic id T",
        }
    )


def seen(state, *, low=0, high=100, committed=0, topic_id="T", partitions=1):
    marks = dict.fromkeys(range(partitions), Watermarks(low, high))
    return Seen(
        name="dicom_routine_load",
        topic="log_queue",
        topic_id=topic_id,
        state=state,
        watermarks=marks,
        committed={0: committed},
    )


def at(offset):
    """The progress of a routine load that reads this offset next."""
    return {"0": str(offset - 1) if offset else "OFFSET_ZERO"}


def test_progress_is_the_next_offset_whatever_word_doris_uses():
    marks = {0: Watermarks(5, 50), 1: Watermarks(0, 10), 2: Watermarks(3, 9), 3: Watermarks(1, 8)}
    words = {"0": "OFFSET_BEGINNING", "1": "OFFSET_ZERO", "2": "OFFSET_END", "3": "6"}
    assert shown(progress=words).next_offsets(marks) == {0: 5, 1: 0, 2: 9, 3: 7}


def test_passwords_are_masked_in_what_doris_shows():
    assert "hush" not in repr(shown())


@pytest.mark.parametrize("odd", ["", "null", "[]", "{", "no JSON"])
def test_odd_columns_count_as_empty(odd):
    state = parse({"Id": "7", "Name": "n", "State": "RUNNING", "Statistic": odd, "Lag": odd})
    assert (state.statistic.total_rows, state.lag, state.progress) == (0, {}, {})


def test_a_reason_quotes_no_value():
    state = shown("PAUSED", code=104, message="src value is Zhang^San")
    assert "Zhang" not in str(state.reason)
    assert state.reason.code == 104


def test_rows_that_were_read_are_accounted_for():
    verdict = judge(Watch(), seen(shown(progress=at(30), totalRows=30)), NOW)
    assert (verdict.problems, verdict.commit) == ([], {0: 30})


def test_while_it_is_paused_nothing_is_noted_because_a_repair_may_be_at_work():
    paused = shown("PAUSED", progress=at(30), totalRows=30, code=100)
    assert not judge(Watch(), seen(paused), NOW).commit


def test_lag_is_what_was_not_read():
    assert lag(shown(progress=at(30)), seen(None).watermarks) == 70
    assert lag(None, seen(None, low=10).watermarks) == 90


def test_nothing_is_accounted_for_behind_a_refused_row_until_a_repair_was_there():
    watch = judge(Watch(), seen(shown(progress=at(30), totalRows=30)), NOW).watch
    bad = shown(progress=at(50), totalRows=50, errorRows=2)
    verdict = judge(watch, seen(bad, committed=30), NOW)
    assert not verdict.commit
    assert "0:30-50" in verdict.needs_person[0]
    later = shown(progress=at(90), totalRows=90, errorRows=2)
    verdict = judge(verdict.watch, seen(later, committed=30), NOW)
    assert verdict.needs_person
    assert not verdict.commit
    repaired = judge(verdict.watch, seen(later, committed=60), NOW)
    assert (repaired.problems, repaired.commit) == ([], {0: 90})


def test_messages_that_were_passed_without_being_read_are_missed():
    watch = judge(Watch(), seen(shown(progress=at(30), totalRows=30)), NOW).watch
    skipped = shown(progress=at(50), totalRows=40)
    verdict = judge(watch, seen(skipped, committed=30), NOW)
    assert "rows are missing" in verdict.needs_person[0]


def test_offsets_that_a_repair_moved_are_not_taken_for_messages_that_were_passed():
    watch = judge(Watch(), seen(shown(progress=at(30), totalRows=30)), NOW).watch
    moved = shown(progress=at(60), totalRows=40)
    assert judge(watch, seen(moved, committed=50), NOW).problems == []


def test_rows_that_are_read_again_are_no_problem():
    watch = judge(Watch(), seen(shown(progress=at(30), totalRows=30)), NOW).watch
    again = shown(progress=at(30), totalRows=60)
    assert judge(watch, seen(again, committed=30), NOW).problems == []


def test_another_routine_load_of_the_same_name_begins_its_figures_anew():
    old = shown(progress=at(30), totalRows=30, errorRows=9)
    watch = judge(Watch(), seen(old, committed=30), NOW).watch
    new = shown(progress=at(35), totalRows=5, id=2)
    assert judge(watch, seen(new, committed=30), NOW).problems == []


@pytest.mark.parametrize(
    ("state", "told"),
    [
        (None, "there is no routine load"),
        (shown("PAUSED", code=100, message="User pauses"), "paused by a person"),
        (shown("PAUSED", code=102, message="too many"), "run the repair"),
        (shown("PAUSED", code=105, message="jsonpaths"), "cannot resume by itself"),
        (shown("CANCELLED", message="table is gone"), "create it"),
        (shown(progress=at(101)), "created anew or restored"),
        (shown(comment="log_queue, topic id OTHER"), "deleted and created again"),
    ],
)
def test_a_person_is_told_what_to_do(state, told):
    verdict = judge(Watch(), seen(state), NOW)
    assert told in verdict.needs_person[0]
    assert not verdict.resume


def test_offsets_that_are_gone_need_a_person():
    verdict = judge(Watch(), seen(shown("PAUSED", progress=at(3), code=105), low=10), NOW)
    assert "7 messages of partition 0 are gone" in verdict.needs_person[0]
    assert not verdict.commit


def test_a_partition_that_nobody_reads_is_told():
    verdict = judge(Watch(), seen(shown(progress=at(3)), partitions=2), NOW)
    assert "partitions 1 of log_queue are not read" in verdict.passing[0]


def test_what_doris_does_not_resume_in_time_is_resumed_more_and_more_seldom_and_then_not_any_more():
    paused = shown("PAUSED", progress=at(30), totalRows=30, code=104, message="abort")
    watch, now, resumed = Watch(), NOW, []
    for _ in range(2000):
        verdict = judge(watch, seen(paused, committed=30), now)
        watch = verdict.watch
        if verdict.resume:
            resumed.append(now)
        now += TICK
    pauses = [later - earlier for earlier, later in zip([NOW, *resumed], resumed, strict=False)]
    assert len(resumed) == MOST_RESUMES
    assert pauses == sorted(pauses)
    assert pauses[0] >= FIRST_RESUME
    assert f"resumed {MOST_RESUMES} times" in verdict.needs_person[0]
    running = shown(progress=at(40), totalRows=40)
    assert judge(watch, seen(running, committed=30), now).watch.resumes == 0


def test_one_that_was_created_for_other_columns_needs_a_person():
    look = replace(seen(shown(progress=at(30), totalRows=30), committed=30), other_columns=True)
    assert "reads other columns" in judge(Watch(), look, NOW).needs_person[0]


def test_a_stall_is_told_though_it_runs():
    running = shown(progress=at(30), totalRows=30)
    watch = judge(Watch(), seen(running, committed=30), NOW).watch
    assert not judge(watch, seen(running, committed=30), NOW + 60_000_000).problems
    verdict = judge(watch, seen(running, committed=30), NOW + 600_000_000)
    assert "has read nothing for 600 s" in verdict.needs_person[0]
    idle = judge(watch, seen(running, high=30, committed=30), NOW + 600_000_000)
    assert not idle.problems


def test_problems_are_told_once_and_that_they_are_over_once():
    well, ill = seen(shown(progress=at(30), totalRows=30)), seen(None)
    told, watch = [], Watch()
    for look in (well, well, ill, ill, ill, well, well):
        verdict = judge(watch, look, NOW)
        told.append(tells_anew(verdict))
        watch = decode(encode(verdict.watch))
    assert told == [True, False, True, False, False, True, False]


def test_a_cursor_of_another_program_counts_as_none():
    assert decode('{"id": "x"}') == decode("no JSON") == decode(None) == Watch()


@given(
    st.sampled_from(State),
    st.integers(0, 120),
    st.integers(0, 120),
    st.integers(0, 100),
    st.integers(0, 200),
    st.integers(0, 50),
    st.sampled_from([None, 2, 4, 100, 102, 104, 105]),
)
def test_whatever_is_seen_nothing_unread_is_accounted_for(
    state, offset, committed, low, total, errors, code
):
    look = shown(state, progress=at(offset), totalRows=total, errorRows=errors, code=code)
    verdict = judge(Watch(), seen(look, low=low, committed=committed), NOW)
    assert all(end <= offset for end in verdict.commit.values())
    if errors and committed < offset:
        assert not verdict.commit
    assert not (verdict.resume and verdict.needs_person)
