"""Ranges of a real Kafka topic, whoever wrote into it."""

import time
from collections import Counter
from random import randbytes

import pytest

from dicom_pipeline.errors import RangeGoneError
from dicom_pipeline.event_log import Message, Watermarks
from dicom_pipeline.event_log.kafka import reader
from dicom_pipeline.messages import (
    DEAD_LETTER_QUEUE,
    EVENT_BYTES_MAX,
    OffsetRange,
    decode_dead_letter,
    encode,
)
from dicom_pipeline.ranges import StageResult, process_range
from dicom_pipeline_tests.event_log.conftest import kafka_log
from dicom_pipeline_tests.event_log.test_contract import TOPIC, everything, publish, span
from dicom_pipeline_tests.events import an_event
from dicom_pipeline_tests.receiver.listening import wait_until

pytestmark = pytest.mark.service


def produce(producer, topic, *messages):
    for key, value in messages:
        producer.produce(topic, key=key, value=value)
        producer.flush(10)  # one by one: their order is the test's


def test_poison_in_the_middle_of_a_range_is_set_aside_and_the_rest_is_handled(log, prefix, foreign):
    log.create_topics([TOPIC, DEAD_LETTER_QUEUE], 1)
    event = an_event()
    good = event.key.encode(), encode(event)
    poison = [(None, None), (b"k", b""), (b"\xff\xfe", b"\x00garbage"), (None, b"[" * 9999)]
    produce(foreign(), prefix + TOPIC, good, *poison, good)
    handled = []

    def handle(batch):
        handled.extend(one.offset for one in batch)
        return StageResult({})

    report = process_range(log, span(log, 0, 6), handle)
    assert handled == [0, 5]
    assert (report.messages, report.dead_letters) == (6, Counter(unreadable_event=4))
    letters = [decode_dead_letter(one.value) for one in everything(log, DEAD_LETTER_QUEUE)]
    assert {(one.topic, one.offset): one.value for one in letters} == {
        (TOPIC, offset): value or b"" for offset, (_, value) in enumerate(poison, 1)
    }


def test_a_message_of_2_mb_is_set_aside_and_the_rest_is_handled(log, prefix, foreign):
    log.create_topics([TOPIC, DEAD_LETTER_QUEUE], 1)
    event = an_event()
    good = event.key.encode(), encode(event)
    produce(
        foreign(**{"message.max.bytes": 3 << 20}), prefix + TOPIC, good, (b"k", b"x" * 2**21), good
    )
    report = process_range(log, span(log, 0, 3), lambda _: StageResult({}))
    assert (report.messages, report.objects) == (3, 2)
    (letter,) = [decode_dead_letter(one.value) for one in everything(log, DEAD_LETTER_QUEUE)]
    assert (letter.offset, letter.value) == (1, b"x" * EVENT_BYTES_MAX)


@pytest.mark.timeout(60)
def test_offsets_of_transaction_markers_are_passed_over(log, prefix, foreign):
    log.create_topics([TOPIC], 1)
    producer = foreign(**{"transactional.id": prefix})
    producer.init_transactions(30)
    for value in (b"1", b"2"):
        producer.begin_transaction()
        produce(producer, prefix + TOPIC, (b"k", value))
        producer.commit_transaction(30)
    # The marker is written a moment after the commit has been answered.
    wait_until(lambda: log.watermarks(TOPIC) == {0: Watermarks(0, 4)})
    assert [(r.offset, r.value) for r in log.read(span(log, 0, 4))] == [(0, b"1"), (2, b"2")]
    assert [r.offset for r in log.read(span(log, 1, 3))] == [2]
    assert list(log.read(span(log, 1, 2))) == []
    assert list(log.read(span(log, 3, 4))) == []
    assert log.timestamp(TOPIC, 0, 3) is None
    publish(log, 1)
    assert [r.offset for r in log.read(span(log, 2, 4))] == [2]


@pytest.mark.timeout(60)
def test_nobodys_open_transaction_stops_the_queue(log, prefix, foreign):
    log.create_topics([TOPIC], 1)
    producer = foreign(**{"transactional.id": prefix})
    producer.init_transactions(30)
    producer.begin_transaction()
    produce(producer, prefix + TOPIC, (b"k", b"open"))
    publish(log, 1)
    assert log.watermarks(TOPIC) == {0: Watermarks(0, 2)}
    assert [r.value for r in log.read(span(log, 0, 2))] == [b"open", b"value 0"]
    producer.abort_transaction(30)


def test_a_reader_overtaken_by_retention_says_so(kafka_url, monkeypatch):
    monkeypatch.setattr(reader, "_CHUNK", 2)
    monkeypatch.setattr(reader, "_BUFFER_KILOBYTES", 1)
    with kafka_log(kafka_url) as log:
        log.create_topics([TOPIC], 1)
        for _ in range(12):
            log.publish([Message(TOPIC, "k", randbytes(300_000))])
        records = log.read(span(log, 0, 12))
        assert next(records).offset == 0
        log.trim(TOPIC, 0, 11)
        with pytest.raises(
            RangeGoneError, match=r"storage_queue:0:\d+-12 are gone: the log starts"
        ):
            list(records)


def test_a_range_that_the_brokers_own_retention_has_passed_is_gone(log, kafka, prefix):
    log.create_topics([TOPIC], 1)
    publish(log, 3)
    offsets = span(log, 0, 3)
    kafka.configure(prefix + TOPIC, **{"retention.ms": 1, "file.delete.delay.ms": 1})
    deadline = time.monotonic() + 30
    while log.watermarks(TOPIC)[0].low < 3:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(RangeGoneError, match=r"3 of 3 messages .* the log starts at 3"):
        log.read(offsets)


def test_a_topic_that_becomes_another_one_while_it_is_read_is_noticed(log, kafka, prefix):
    log.create_topics([TOPIC], 1)
    publish(log, 3)
    records = log.read(span(log, 0, 3))
    assert next(records).offset == 0
    kafka.delete_topics(prefix + TOPIC)
    log.create_topics([TOPIC], 1)
    publish(log, 3)
    with pytest.raises(RangeGoneError, match="created again"):
        list(records)


def test_readers_are_used_again_without_a_wait(log):
    log.create_topics([TOPIC], 2)
    publish(log, 10)
    ranges = [
        OffsetRange(TOPIC, log.topic_id(TOPIC), partition, high - 1, high)
        for partition, (_, high) in log.watermarks(TOPIC).items()
    ]
    started = time.monotonic()
    for _ in range(10):
        for offsets in ranges:
            assert [r.offset for r in log.read(offsets)] == [offsets.start]
    assert time.monotonic() - started < 5  # half a second each without the short fetches: 10
    assert len(log._readers._idle) == 1
