"""Questions to the cluster: each is bounded in time and raises the errors of our own."""

from collections.abc import Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYet
from contextlib import suppress
from typing import Final, TypeVar

from confluent_kafka import (
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (
    AdminClient,
    OffsetSpec,
    TopicDescription,
)

from dicom_pipeline.event_log import Watermarks
from dicom_pipeline.event_log.bounds import UnknownTopicError, unknown_topic
from dicom_pipeline.event_log.kafka.clients import make_client
from dicom_pipeline.event_log.kafka.failures import Failures, Patience, is_unknown_topic
from dicom_pipeline.event_log.kafka.url import KafkaUrl

T = TypeVar("T")

_LOOK_SECONDS: Final = 0.2
"""While an answer is awaited, librdkafka's callbacks are served so often."""


class Requests:
    """One admin client. Threads may share it. Topics are named as the cluster has them."""

    def __init__(self, url: KafkaUrl, failures: Failures) -> None:
        self._failures = failures
        self._seconds = url.timeout_seconds
        self.admin = make_client(AdminClient, url, failures)

    def answer(self, future: "Future[T]", what: str, topic: str = "") -> T:
        """Wait for an answer, at most the URL's ``timeout_seconds``.

        Raises:
            UnknownTopicError: ``topic`` does not exist.
            ConfigurationError: the login or a right is missing.
            TransientError: the brokers are away, or electing a leader.
        """
        patience = Patience(self._failures, self._seconds)
        while True:
            try:
                answer = future.result(_LOOK_SECONDS)
            except NotYet:
                self.admin.poll(0)
                if patience.is_over():
                    raise self._failures.away(what) from None
            except KafkaException as error:
                cause = error.args[0]
                self.admin.poll(0)
                self._failures.raise_if_hopeless()
                if topic and is_unknown_topic(cause):
                    raise unknown_topic(topic) from None
                raise self._failures.explained(cause, what) from None
            else:
                patience.answered()
                return answer

    def describe(self, topic: str) -> TopicDescription:
        """The topic's id and partitions."""
        asked = self.admin.describe_topics(TopicCollection([topic]), request_timeout=self._seconds)
        described: TopicDescription = self.answer(asked[topic], f"describing topic {topic}", topic)
        return described

    def existing(self, topics: Iterable[str]) -> set[str]:
        """Those of the topics that exist."""
        wanted = list(topics)
        asked = self.admin.describe_topics(TopicCollection(wanted), request_timeout=self._seconds)
        existing = set()
        for topic in wanted:
            with suppress(UnknownTopicError):
                self.answer(asked[topic], f"describing topic {topic}", topic)
                existing.add(topic)
        return existing

    def watermarks(self, topic: str, partitions: Iterable[int]) -> dict[int, Watermarks]:
        """Low and high watermark of these partitions."""
        wanted = [TopicPartition(topic, partition) for partition in partitions]
        asked = [
            self.admin.list_offsets(dict.fromkeys(wanted, spec), request_timeout=self._seconds)
            for spec in (OffsetSpec.earliest(), OffsetSpec.latest())
        ]
        what = f"watermarks of {topic}"
        low, high = (
            {
                each.partition: self.answer(future, what, topic).offset
                for each, future in one.items()
            }
            for one in asked
        )
        return {
            # Read second, so that it is not below the first.
            partition: Watermarks(low[partition], max(low[partition], high[partition]))
            for partition in sorted(low)
        }

    def delete_before(self, topic: str, partition: int, offset: int) -> int:
        """Delete records below the offset; returns the new low watermark."""
        asked = self.admin.delete_records(
            [TopicPartition(topic, partition, offset)], request_timeout=self._seconds
        )
        (future,) = asked.values()
        deleted = self.answer(future, f"deleting records of {topic}:{partition}", topic)
        return int(deleted.low_watermark)
