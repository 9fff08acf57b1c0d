"""A tick of a queue's sensor on a real Kafka, and without one."""

import time

import dagster as dg
import pytest
from confluent_kafka import Producer

from dicom_pipeline.cli.network import free_port
from dicom_pipeline.errors import TransientError
from dicom_pipeline.event_log import Message, open_event_log
from dicom_pipeline.event_log.kafka import KafkaEventLog
from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline.messages import ALL_QUEUES, DEAD_LETTER_QUEUE, STORAGE_QUEUE, encode
from dicom_pipeline.retention import trim_event_log
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import STORAGE
from dicom_pipeline_tests.events import an_event
from dicom_pipeline_tests.orchestration.test_queue_sensor import run_of
from dicom_pipeline_tests.receiver.listening import wait_until


@pytest.fixture
def kafka_log(settings, kafka_url, monkeypatch):
    monkeypatch.setenv("EVENT_LOG_URL", kafka_url)
    with open_event_log(Settings()) as log:
        log.create_topics(ALL_QUEUES, 3)
        yield log


def publish(log, count):
    events = [an_event(sop_uid=f"1.2.{n}") for n in range(count)]
    log.publish([Message(STORAGE_QUEUE, each.key, encode(each)) for each in events])


def messages_planned(result):
    ranges = [request.tags["dicom/range"].rpartition(":")[2] for request in result.run_requests]
    return sum(int(end) - int(start) for start, end in (each.split("-") for each in ranges))


def begin(instance, result):
    """Let the requested runs be under way: what has no run is asked for again after a while."""
    for request in result.run_requests:
        run_of(instance, request, dg.DagsterRunStatus.STARTED)


@pytest.mark.service
def test_what_waits_in_every_partition_is_planned_once(tick, kafka_log, instance):
    publish(kafka_log, 30)
    first = tick()
    assert len(first.run_requests) == 3
    assert messages_planned(first) == 30
    (figures,) = first.asset_events
    assert figures.metadata["lag_messages"].value == 30
    assert 0 <= figures.metadata["lag_seconds"].value < 120
    begin(instance, first)
    assert tick(first.cursor).run_requests == []
    publish(kafka_log, 30)
    assert messages_planned(tick(first.cursor)) == 30


@pytest.mark.service
def test_a_transactions_marker_at_the_end_of_the_plan_stops_no_tick(
    tick, kafka, kafka_log, instance
):
    name = KafkaUrl.parse(Settings().event_log_url).topic_prefix + STORAGE_QUEUE
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "transactional.id": name})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(name, key="k", value=encode(an_event()))
    producer.commit_transaction(30)
    # The marker is written a moment after the commit has been answered.
    wait_until(lambda: sum(one.high for one in kafka_log.watermarks(STORAGE_QUEUE).values()) == 2)
    first = tick()
    assert messages_planned(first) == 2
    begin(instance, first)
    assert tick(first.cursor).run_requests == []


@pytest.mark.service
def test_a_tick_is_cheap(tick, kafka_log):
    publish(kafka_log, 30)
    cursor = tick().cursor
    started = time.process_time()
    for _ in range(5):
        tick(cursor)
    assert (time.process_time() - started) / 5 < 0.5


@pytest.mark.service
def test_a_group_that_takes_no_offsets_now_stops_no_planning(tick, kafka_log, monkeypatch):
    def commit(*_):
        raise TransientError("the group's coordinator is away")

    monkeypatch.setattr(KafkaEventLog, "commit", commit)
    publish(kafka_log, 6)
    assert messages_planned(tick()) == 6


@pytest.mark.service
def test_an_outage_is_a_skipped_tick_and_the_next_one_goes_on(tick, kafka, kafka_log, instance):
    publish(kafka_log, 6)
    first = tick()
    begin(instance, first)
    kafka.stop()
    away = tick(first.cursor)
    assert "Kafka is away" in away.skip_message
    assert (away.run_requests, away.asset_events) == ([], [])
    kafka.start()
    publish(kafka_log, 6)
    assert messages_planned(tick(first.cursor)) == 6


def test_without_brokers_a_tick_is_skipped_soon_and_says_why(tick, monkeypatch):
    monkeypatch.setenv("EVENT_LOG_URL", f"kafka://127.0.0.1:{free_port('127.0.0.1')}")
    started = time.monotonic()
    result = tick()
    assert "Connection refused" in result.skip_message
    assert time.monotonic() - started < 10


@pytest.mark.service
def test_the_nightly_job_deletes_what_a_stage_has_passed_and_no_more(kafka_log, catalog):
    publish(kafka_log, 30)
    kafka_log.publish([Message(DEAD_LETTER_QUEUE, "k", b"{}")])
    marks = kafka_log.watermarks(STORAGE_QUEUE)
    kafka_log.commit(STORAGE.consumer_group, STORAGE_QUEUE, 0, 2)
    kafka_log.commit(STORAGE.consumer_group, STORAGE_QUEUE, 1, marks[1].high)
    deleted = trim_event_log(kafka_log, catalog, older_than=1 << 62)
    lows = {n: low for n, (low, _) in kafka_log.watermarks(STORAGE_QUEUE).items()}
    assert lows == {0: 2, 1: marks[1].high, 2: 0}
    assert deleted[STORAGE_QUEUE] == 2 + marks[1].high
    assert deleted[DEAD_LETTER_QUEUE] == 1
