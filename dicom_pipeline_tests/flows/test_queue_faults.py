"""What can be wrong with a queue itself: foreign messages in it, and a topic that is made anew."""

import json
import uuid
from contextlib import ExitStack

import pytest
from confluent_kafka import Producer

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.demo.accounting import missing
from dicom_pipeline.errors import PipelineError
from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.messages import DEAD_LETTER_QUEUE, INDEX_QUEUE, OffsetRange, decode_dead_letter
from dicom_pipeline.stages import INDEX
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.site import (
    CATCH_UP_SECONDS,
    PARTITIONS,
    site_with_ticker,
    wait_until,
)

pytestmark = [pytest.mark.service, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def site(kafka_broker, mariadb, redis_server, tmp_path_factory):
    if not kafka_broker.running():
        kafka_broker.start()
    with ExitStack() as undo:
        (site, ticker) = undo.enter_context(
            site_with_ticker(
                tmp_path_factory.mktemp("site"),
                event_log_url=kafka_broker.url(f"faults-{uuid.uuid4().hex[:8]}."),
                catalog_url=undo.enter_context(mariadb.fresh_database()),
                cache_url=redis_server.fresh_url(),
            )
        )
        site.ticker = ticker
        yield site


def dead_letters(site):
    with open_event_log(site.settings) as log:
        topic_id = log.topic_id(DEAD_LETTER_QUEUE)
        return [
            decode_dead_letter(record.value)
            for partition, (low, high) in log.watermarks(DEAD_LETTER_QUEUE).items()
            if low < high
            for record in log.read(OffsetRange(DEAD_LETTER_QUEUE, topic_id, partition, low, high))
        ]


def topic_name(site):
    return site.settings.event_log_url.partition("topic_prefix=")[2] + INDEX_QUEUE


def send(site, node, first, objects):
    """Objects, once they are in the queues; what was acknowledged."""
    modality = site.modality(node, (an_image(first + n) for n in range(objects)), per_second=50)
    modality.join(60)
    assert not modality.is_alive()
    assert len(modality.acknowledged) == objects
    wait_until(lambda: not any(site.on_the_way().values()))
    return modality.acknowledged


def publish_foreign(site, broker, messages):
    """Messages that no receiver wrote."""
    producer = Producer({"bootstrap.servers": broker.bootstrap, "message.max.bytes": 4 << 20})
    for key, value in messages:
        producer.produce(topic_name(site), value, key, partition=1)
    assert producer.flush(30) == 0


def make_topic_anew(site, broker):
    """As an operator does it: deleted, and created by `migrate`."""
    with open_event_log(site.settings) as log:
        before = log.topic_id(INDEX_QUEUE)
        (deleted,) = broker.admin().delete_topics([topic_name(site)]).values()
        deleted.result(30)

        def is_another():
            try:
                log.create_topics([INDEX_QUEUE], PARTITIONS)
                return log.topic_id(INDEX_QUEUE) != before
            except PipelineError:
                return False

        wait_until(is_another)


def test_foreign_messages_in_the_middle_of_a_range_are_set_aside_and_stop_nothing(
    site, kafka_broker
):
    assert dead_letters(site) == []
    foreign = [
        (None, None),
        (b"\xff\xfe", b"\xff{"),
        (b"key", b"{}"),
        (None, bytes(2 << 20)),
        (b"key", json.dumps({"trace_id": "x" * (2 << 20)}).encode()),
    ]
    with site.ticker.paused():
        acknowledged = send(site, "node-1", 0, 15)
        publish_foreign(site, kafka_broker, foreign)
        acknowledged += send(site, "node-2", 100, 15)
    site.wait_until_caught_up(CATCH_UP_SECONDS)
    site.require_exactly_once(acknowledged)
    letters = dead_letters(site)
    assert {letter.code for letter in letters} == {"unreadable_event"}
    assert {(letter.topic, letter.partition) for letter in letters} == {(INDEX_QUEUE, 1)}
    assert len({letter.offset for letter in letters}) == len(letters) == len(foreign)
    assert sorted(len(letter.value) for letter in letters) == [0, 2, 2, 1 << 20, 1 << 20]


def test_a_topic_that_is_deleted_and_created_again_goes_on_from_its_start(site, kafka_broker):
    make_topic_anew(site, kafka_broker)
    acknowledged = send(site, "node-2", 200, 20)
    site.wait_until_caught_up(CATCH_UP_SECONDS)
    site.require_exactly_once(acknowledged)
    wait_until(lambda: site.lag() == 0)
    with open_event_log(site.settings) as log:
        assert sum(high for _, high in log.watermarks(INDEX_QUEUE).values()) == len(acknowledged)


def test_what_was_unfinished_on_the_old_topic_is_told_and_stops_nothing(site, kafka_broker):
    with site.ticker.paused():
        lost = send(site, "node-1", 300, 6)
        away = site.storage.rename(site.storage.with_name("away"))
    index = INDEX.sensor_name
    wait_until(lambda: any(one.attempt > 1 for one in site.ledgers()[index].outstanding))
    with site.ticker.paused():
        make_topic_anew(site, kafka_broker)
        away.rename(site.storage)
    acknowledged = send(site, "node-2", 400, 6)
    wait_until(lambda: missing(site.settings, acknowledged) == [])
    with open_catalog(site.settings) as catalog:
        abandoned = catalog.abandoned()
    assert {one.offsets.topic for one in abandoned} == {INDEX_QUEUE}
    assert sum(len(one.offsets) for one in abandoned) == len(lost)
    assert all("deleted and created again" in one.reason for one in abandoned)
    assert {one.what for one in missing(site.settings, lost)} == {"a row in the index"}
    wait_until(lambda: site.lag() == 0)
