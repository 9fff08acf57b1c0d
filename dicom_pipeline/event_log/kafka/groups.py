"""Committed offsets of consumer groups: they only show lag.

A consumer that never joins its group commits and asks. The admin client could, too, but librdkafka
2.16's loses the group's coordinator for ever, or crashes, when its brokers are restarted.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from confluent_kafka import Consumer, KafkaException, TopicPartition

from dicom_pipeline.event_log.kafka.clients import make_client
from dicom_pipeline.event_log.kafka.failures import Failures
from dicom_pipeline.event_log.kafka.url import KafkaUrl


class Groups:
    """A consumer for each group that is asked about. Threads may share it."""

    def __init__(self, url: KafkaUrl, failures: Failures) -> None:
        self._url = url
        self._failures = failures
        self._consumers: dict[str, Consumer] = {}
        self._lock = threading.Lock()

    def commit(self, group: str, topic: str, offsets: Mapping[int, int]) -> None:
        """Set the group's offsets of partitions."""
        wanted = [TopicPartition(topic, *each) for each in offsets.items()]
        with self._consumer(group, "committing offsets") as consumer:
            _raise_first(consumer.commit(offsets=wanted, asynchronous=False) or [])

    def committed(self, group: str, topic: str, partitions: Iterable[int]) -> dict[int, int]:
        """The group's offsets, of the partitions that have one."""
        wanted = [TopicPartition(topic, partition) for partition in partitions]
        with self._consumer(group, "committed offsets") as consumer:
            found = consumer.committed(wanted, self._url.timeout_seconds)
            _raise_first(found)
        return {each.partition: each.offset for each in found if each.offset >= 0}

    def close(self) -> None:
        """Close the consumers."""
        with self._lock:
            consumers, self._consumers = self._consumers, {}
        for consumer in consumers.values():
            consumer.close()

    @contextmanager
    def _consumer(self, group: str, what: str) -> Iterator[Consumer]:
        with self._lock:
            consumer = self._consumers.get(group)
            if consumer is None:
                settings = {"group.id": group, "enable.auto.commit": False}
                consumer = make_client(Consumer, self._url, self._failures, settings)
                self._consumers[group] = consumer
        try:
            yield consumer
        except KafkaException as error:
            consumer.poll(0)  # for the news of connections
            self._failures.raise_if_hopeless()
            raise self._failures.explained(error.args[0], f"{what} of group {group}") from None


def _raise_first(partitions: Iterable[TopicPartition]) -> None:
    for each in partitions:
        if each.error is not None:
            raise KafkaException(each.error)
