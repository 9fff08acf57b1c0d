"""Brokers that go away in the middle of something, and come back."""

import threading
import time
from contextlib import suppress

import pytest

from dicom_pipeline.cli.network import free_port
from dicom_pipeline.errors import TransientError
from dicom_pipeline.event_log import Message
from dicom_pipeline.event_log.kafka import reader
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline_tests.event_log.conftest import kafka_log
from dicom_pipeline_tests.event_log.test_contract import TOPIC, everything, publish, span

CALLS = {
    "publish": lambda log: log.publish([Message(TOPIC, "k", b"v")]),
    "topic_id": lambda log: log.topic_id(TOPIC),
    "watermarks": lambda log: log.watermarks(TOPIC),
    "read": lambda log: list(log.read(OffsetRange(TOPIC, "id", 0, 0, 1))),
    "timestamp": lambda log: log.timestamp(TOPIC, 0, 0),
    "commit": lambda log: log.commit("group", TOPIC, 0, 0),
    "committed": lambda log: log.committed("group", TOPIC),
    "trim": lambda log: log.trim(TOPIC, 0, 1),
    "create_topics": lambda log: log.create_topics(["new_queue"], 1),
}


@pytest.mark.parametrize("call", CALLS)
def test_without_brokers_every_call_fails_in_time_and_nothing_is_taken_for_empty(call):
    started = time.monotonic()
    with (
        kafka_log(f"kafka://127.0.0.1:{free_port('127.0.0.1')}?timeout_seconds=1") as log,
        pytest.raises(TransientError, match=r"Kafka is away: .*refused"),
    ):
        CALLS[call](log)
    assert time.monotonic() - started < 4


@pytest.mark.service
def test_a_broker_that_hangs_is_away_after_the_time_in_the_url(kafka, kafka_url):
    with kafka_log(f"{kafka_url}&timeout_seconds=1&publish_seconds=3") as log:
        log.create_topics([TOPIC], 1)
        publish(log, 1)
        with kafka.frozen():
            for call in ("publish", "watermarks", "timestamp"):
                started = time.monotonic()
                with pytest.raises(TransientError, match="Kafka is away"):
                    CALLS[call](log)
                assert time.monotonic() - started < 6
        publish(log, 1, first=1)
        assert everything(log)[-1].value == b"value 1"


def publish_for_ever(log, acknowledged, stopping):
    """As the forwarder does: a batch that failed is published again, until it is durable."""
    number = 0
    while not stopping.is_set():
        batch = [Message(TOPIC, f"key {n % 3}", str(n).encode()) for n in range(number, number + 9)]
        with suppress(TransientError):
            log.publish(batch)
            number += len(batch)
            acknowledged.append(number)


@pytest.mark.service
@pytest.mark.parametrize("how", ["stop", "kill"])
def test_what_was_acknowledged_outlives_a_broker_that_goes_away_while_publishing(
    kafka, kafka_url, how
):
    acknowledged, stopping = [], threading.Event()
    with kafka_log(f"{kafka_url}&publish_seconds=2") as log:
        log.create_topics([TOPIC], 2)
        thread = threading.Thread(target=publish_for_ever, args=(log, acknowledged, stopping))
        thread.start()
        try:
            wait_for(lambda: len(acknowledged) > 20)
            getattr(kafka, how)()
            wait_for(lambda: not kafka.running())
            kafka.start()
            before = len(acknowledged)
            wait_for(lambda: len(acknowledged) > before + 20)
        finally:
            stopping.set()
            thread.join()
        by_key = {}
        for record in everything(log):
            by_key.setdefault(record.key, []).append(int(record.value))
    found = {number for numbers in by_key.values() for number in numbers}
    assert found >= set(range(acknowledged[-1]))
    for numbers in by_key.values():
        # A batch may be there again, but nothing new comes before what was first.
        firsts = list(dict.fromkeys(numbers))
        assert firsts == sorted(firsts)


@pytest.mark.service
def test_a_range_whose_broker_is_killed_while_it_is_read_reads_whole_afterwards(
    kafka, kafka_url, monkeypatch
):
    monkeypatch.setattr(reader, "_BUFFER_KILOBYTES", 1)
    monkeypatch.setattr(reader, "_CHUNK", 10)
    with kafka_log(f"{kafka_url}&timeout_seconds=2&compression=none") as log:
        log.create_topics([TOPIC], 1)
        log.commit("group", TOPIC, 0, 1)
        for _ in range(10):
            log.publish([Message(TOPIC, "k", bytes(50_000))] * 20)
        offsets = span(log, 0, 200)
        records = log.read(offsets)
        assert next(records).offset == 0
        kafka.kill()
        with pytest.raises(TransientError, match="reading storage_queue:0:0-200 at"):
            list(records)
        kafka.start()
        wait_for(lambda: reads(log, offsets) == list(range(200)))
        wait_for(lambda: commits(log, 3))
        assert log.committed("group", TOPIC) == {0: 3}


def reads(log, offsets):
    """The offsets of a range's records; None while a broker that was started elects its leaders."""
    with suppress(TransientError):
        return [record.offset for record in log.read(offsets)]
    return None


def commits(log, offset):
    with suppress(TransientError):
        log.commit("group", TOPIC, 0, offset)
        return True


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
