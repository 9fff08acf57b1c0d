"""A log on the real broker, and what only a Kafka user can do to it."""

import pytest
from confluent_kafka import Producer

from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline_tests.event_log.conftest import kafka_log


@pytest.fixture
def prefix(kafka_url):
    """What stands before the names of this test's topics."""
    return KafkaUrl.parse(kafka_url).topic_prefix


@pytest.fixture
def log(kafka_url):
    with kafka_log(kafka_url) as log:
        yield log


@pytest.fixture
def foreign(kafka):
    """Makes producers that are none of ours."""

    def foreign(**settings):
        return Producer({"bootstrap.servers": kafka.bootstrap, **settings})

    return foreign
