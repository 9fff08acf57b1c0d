import pytest

from dicom_pipeline.errors import RangeGoneError, TransientError
from dicom_pipeline.event_log import Message
from dicom_pipeline.event_log.sqlite import SqliteEventLog
from dicom_pipeline.messages import (
    DEAD_LETTER_QUEUE,
    STORAGE_QUEUE,
    OffsetRange,
    decode_dead_letter,
    encode,
)
from dicom_pipeline.ranges import RangeReport, StageResult, end_within_bytes, process_range
from dicom_pipeline_tests.events import an_event


@pytest.fixture
def log(tmp_path):
    with SqliteEventLog(tmp_path / "events.db") as log:
        log.create_topics([STORAGE_QUEUE, DEAD_LETTER_QUEUE], 1)
        yield log


class Stage:
    """Remembers what it was given; objects of a size below 0 are dead."""

    def __init__(self):
        self.batches = []

    def __call__(self, received):
        self.batches.append([one.offset for one in received])
        dead = [one for one in received if one.event.file_size == 0]
        return StageResult(
            counts={"rows": len(received) - len(dead)},
            dead=[(one, "file_missing", "file is gone") for one in dead],
        )


def publish(log, *values):
    log.publish([Message(STORAGE_QUEUE, "k", value) for value in values])
    topic_id = log.topic_id(STORAGE_QUEUE)
    return OffsetRange(STORAGE_QUEUE, topic_id, 0, *log.watermarks(STORAGE_QUEUE)[0])


def sized(*sizes):
    return [encode(an_event(file_size=size)) for size in sizes]


def dead_letters(log):
    (low, high) = log.watermarks(DEAD_LETTER_QUEUE)[0]
    topic_id = log.topic_id(DEAD_LETTER_QUEUE)
    records = log.read(OffsetRange(DEAD_LETTER_QUEUE, topic_id, 0, low, high))
    return [decode_dead_letter(record.value) for record in records]


def test_the_stage_gets_every_event_in_order_in_batches(log):
    stage = Stage()
    report = process_range(log, publish(log, *sized(1, 2, 3, 4, 5)), stage, batch=2)
    assert stage.batches == [[0, 1], [2, 3], [4]]
    assert (report.messages, report.objects, report.bytes) == (5, 5, 15)
    assert report.counts == {"rows": 5}
    assert report.dead_letters == {}
    assert report.seconds > 0
    assert report.first_timestamp is not None
    assert report.first_timestamp <= report.last_timestamp


def test_a_message_that_is_no_event_is_set_aside_as_it_was(log):
    stage = Stage()
    report = process_range(log, publish(log, *sized(1), b"\xff{", *sized(3)), stage)
    assert stage.batches == [[0, 2]]
    (letter,) = dead_letters(log)
    assert (letter.topic, letter.partition, letter.offset) == (STORAGE_QUEUE, 0, 1)
    assert (letter.code, letter.value, letter.trace_id) == ("unreadable_event", b"\xff{", None)
    assert letter.reason.startswith("not an event: ")
    assert (report.messages, report.objects) == (3, 2)
    assert report.dead_letters == {"unreadable_event": 1}


def test_a_long_message_is_set_aside_with_its_beginning_however_good_it_is(log):
    stage = Stage()
    long = encode(an_event(findings=("x" * (2 << 20),)))
    report = process_range(log, publish(log, *sized(1), long, *sized(3)), stage)
    assert stage.batches == [[0, 2]]
    (letter,) = dead_letters(log)
    assert letter.value == long[: 1 << 20]
    assert str(len(long)) in letter.reason
    assert report.dead_letters == {"unreadable_event": 1}


def test_long_messages_are_taken_few_at_a_time(log, monkeypatch):
    monkeypatch.setattr("dicom_pipeline.ranges.BATCH_BYTES", 3000)
    stage = Stage()
    process_range(log, publish(log, *sized(*[1] * 8)), stage)
    assert [len(batch) for batch in stage.batches[:-1]] == [len(stage.batches[0])] * (
        len(stage.batches) - 1
    )
    assert 1 <= len(stage.batches[0]) < 8
    assert sum(map(len, stage.batches)) == 8


def test_what_the_stage_calls_dead_is_set_aside_and_not_counted_as_processed(log):
    report = process_range(log, publish(log, *sized(1, 0, 3)), Stage())
    (letter,) = dead_letters(log)
    assert (letter.topic, letter.partition, letter.offset) == (STORAGE_QUEUE, 0, 1)
    assert (letter.code, letter.reason) == ("file_missing", "file is gone")
    assert letter.trace_id == an_event().trace_id
    assert (report.messages, report.objects, report.bytes) == (3, 2, 4)
    assert report.dead_letters == {"file_missing": 1}


def test_a_batch_of_rubbish_never_reaches_the_stage(log):
    stage = Stage()
    process_range(log, publish(log, b"", b"{}", b"[]"), stage)
    assert stage.batches == []
    assert len(dead_letters(log)) == 3


def test_the_reason_of_a_dead_letter_quotes_no_value(log):
    value = encode(an_event(patient_id="Müller")).replace(b'"file_size":1000', b'"file_size":"X"')
    process_range(log, publish(log, value), Stage())
    (letter,) = dead_letters(log)
    assert "$.file_size" in letter.reason
    assert "Müller" not in letter.reason


def test_a_replay_gives_the_same_report_and_the_same_dead_letters(log):
    offsets = publish(log, *sized(1, 0), b"?")
    first, second = (process_range(log, offsets, Stage()) for _ in range(2))
    first.seconds = second.seconds
    assert first == second
    letters = dead_letters(log)
    assert letters[: len(letters) // 2] == letters[len(letters) // 2 :]


def test_a_range_that_is_gone_is_refused_before_anything_is_handled(log):
    offsets = publish(log, *sized(1, 2, 3))
    log.trim(STORAGE_QUEUE, 0, 1)
    stage = Stage()
    with pytest.raises(RangeGoneError, match="1 of 3 messages"):
        process_range(log, offsets, stage)
    assert stage.batches == []


def test_a_failing_stage_fails_the_range(log):
    def away(_):
        raise TransientError("catalog: away")

    with pytest.raises(TransientError, match="catalog: away"):
        process_range(log, publish(log, *sized(1)), away)


def test_an_empty_range_reports_nothing(log):
    report = process_range(log, publish(log), Stage())
    assert report == RangeReport(seconds=report.seconds)


@pytest.mark.parametrize(
    ("limit", "end"), [(0, 1), (10, 1), (29, 1), (30, 3), (59, 3), (60, 4), (999, 4)]
)
def test_a_range_ends_before_its_objects_exceed_the_bytes_but_keeps_one_message(log, limit, end):
    first, second, third = sized(10, 20, 30)
    offsets = publish(log, first, second, b"no event", third)
    assert end_within_bytes(log, offsets, limit) == end
