"""How topics are made, what is said of others' topics, and what the planner makes of both."""

from random import randbytes

import pytest
from confluent_kafka.admin import NewPartitions, NewTopic

from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.errors import ConfigurationError, MessageRefusedError, RangeGoneError
from dicom_pipeline.event_log import Message
from dicom_pipeline.messages import ALL_QUEUES
from dicom_pipeline.settings import Settings
from dicom_pipeline.streams import Ledger, Limits, RunState, lag, plan
from dicom_pipeline_tests.event_log.conftest import kafka_log
from dicom_pipeline_tests.event_log.test_contract import TOPIC, publish

pytestmark = pytest.mark.service

LIMITS = Limits.from_settings(Settings(_env_file=None))


def tick(log, ledger, states=None):
    def timestamp(partition, offset):
        return log.timestamp(TOPIC, partition, offset)

    topic_id, marks = log.topic_id(TOPIC), log.watermarks(TOPIC)
    now = wall_clock_us()
    return plan(ledger, TOPIC, topic_id, marks, states or {}, now, LIMITS, timestamp)


def test_topics_as_they_are_created_are_what_is_wanted(log):
    log.create_topics(ALL_QUEUES, 3)
    assert log.deviations(ALL_QUEUES, 3) == []
    assert log.missing_rights(ALL_QUEUES) == []


def test_what_an_operator_should_change_is_told(log, kafka, prefix):
    other = NewTopic(
        prefix + TOPIC,
        1,
        1,
        config={"cleanup.policy": "compact", "retention.ms": "1000", "retention.bytes": "5"},
    )
    for created in kafka.admin().create_topics([other]).values():
        created.result(10)
    found = "\n".join(log.deviations([TOPIC, "index_queue"], 3))
    assert f"topic {prefix}{TOPIC}: 1 partitions, EVENT_LOG_PARTITIONS is 3" in found
    assert "cleanup.policy=compact" in found
    assert "retention.ms=1000 is shorter" in found
    assert "retention.bytes=5" in found
    assert "max.message.bytes=1048588" in found
    assert f"topic {prefix}index_queue does not exist" in found


def test_more_replicas_than_brokers_names_the_option(kafka_url):
    with (
        kafka_log(f"{kafka_url}&replication=3") as log,
        pytest.raises(ConfigurationError, match="set option replication"),
    ):
        log.create_topics([TOPIC], 1)


def test_a_topic_created_again_is_planned_from_its_start_and_the_old_ranges_are_gone(
    log, kafka, prefix
):
    log.create_topics([TOPIC], 1)
    publish(log, 5)
    before = tick(log, Ledger())
    (old,) = before.requests
    kafka.delete_topics(prefix + TOPIC)
    log.create_topics([TOPIC], 1)
    publish(log, 5)
    after = tick(log, before.ledger)
    assert [one.offsets for one in after.abandoned] == [old.offsets]
    (new,) = after.requests
    assert (new.offsets.start, new.offsets.end) == (0, 5)
    assert new.run_key != old.run_key
    assert len(list(log.read(new.offsets))) == 5
    with pytest.raises(RangeGoneError, match="created again"):
        log.read(old.offsets)


def test_a_partition_that_is_added_is_planned_from_its_start(log, kafka, kafka_url, prefix):
    log.create_topics([TOPIC], 1)
    publish(log, 5)
    first = tick(log, Ledger())
    added = kafka.admin().create_partitions([NewPartitions(prefix + TOPIC, 2)])
    for each in added.values():
        each.result(10)
    with kafka_log(kafka_url) as publisher:  # a running one notices within five minutes
        publish(publisher, 20)
    marks = log.watermarks(TOPIC)
    assert marks[1].high > 0
    assert sum(lag(first.ledger, marks, {}).values()) == 25
    states = {request.run_key: RunState.SUCCEEDED for request in first.requests}
    second = tick(log, first.ledger, states)
    planned = [one.offsets for one in (*first.requests, *second.requests)]
    assert {(one.partition, one.start) for one in planned} >= {(0, 0), (1, 0)}
    assert sum(len(list(log.read(one))) for one in planned) == 25


def test_what_retention_took_before_it_was_planned_is_written_down(log):
    log.create_topics([TOPIC], 1)
    publish(log, 3)
    first = tick(log, Ledger())
    publish(log, 6, first=3)
    log.trim(TOPIC, 0, 7)
    second = tick(log, first.ledger, {first.requests[0].run_key: RunState.SUCCEEDED})
    assert [str(one.offsets) for one in second.abandoned] == [f"{TOPIC}:0:3-7"]
    assert [str(one.offsets) for one in second.requests] == [f"{TOPIC}:0:7-9"]


def test_a_message_beyond_our_own_limit_is_refused_before_anything_is_published(log, kafka_url):
    log.create_topics([TOPIC], 1)
    messages = [Message(TOPIC, "k", b"1"), Message(TOPIC, "k", b"x" * 200_000)]
    with (
        kafka_log(f"{kafka_url}&max_message_bytes=100000") as small,
        pytest.raises(MessageRefusedError, match="max_message_bytes"),
    ):
        small.publish(messages)
    assert log.watermarks(TOPIC)[0].high == 0


def test_a_message_beyond_the_topics_limit_is_refused_by_the_broker(log, kafka, prefix):
    log.create_topics([TOPIC], 1)
    kafka.configure(prefix + TOPIC, **{"max.message.bytes": 1000})
    with pytest.raises(MessageRefusedError, match=TOPIC):
        log.publish([Message(TOPIC, "k", randbytes(5000))])
    log.publish([Message(TOPIC, "k", b"small")])
    assert log.watermarks(TOPIC)[0].high == 1
