"""The adapter: the port's calls, in terms of requests, readers and a publisher."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Self

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log import Message, Record, Watermarks
from dicom_pipeline.event_log.bounds import UnknownTopicError, is_of_topic, require_range
from dicom_pipeline.event_log.kafka import topics as topics_
from dicom_pipeline.event_log.kafka.failures import Failures
from dicom_pipeline.event_log.kafka.groups import Groups
from dicom_pipeline.event_log.kafka.publisher import Publisher
from dicom_pipeline.event_log.kafka.reader import Readers
from dicom_pipeline.event_log.kafka.requests import Requests
from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline.messages import OffsetRange


class KafkaEventLog:
    """An `EventLog` on a Kafka cluster.

    Opening connects to nobody: the first call does. Threads may share an instance; one must not be
    carried over a fork. Calls raise `TransientError` after the URL's ``timeout_seconds`` without an
    answer, and `ConfigurationError` when the login or a right is missing.
    """

    def __init__(self, url: KafkaUrl, retention_hours: int) -> None:
        """``retention_hours``: how long a message should stay for the stages to pass it."""
        self._url = url
        self._retention_hours = retention_hours
        failures = Failures()
        self._requests = Requests(url, failures)
        self._readers = Readers(url, failures)
        self._groups = Groups(url, failures)
        self._publisher = Publisher(url, failures)
        self._known: set[str] = set()
        """Topics that were there when they were last published to."""

    def create_topics(self, topics: Iterable[str], partitions: int) -> None:
        """Create what is missing; topics that exist keep their partitions and configuration."""
        names = [self._name(topic) for topic in topics]
        topics_.create(self._requests, self._url, names, partitions, self._retention_hours)

    def deviations(self, topics: Iterable[str], partitions: int) -> list[str]:
        """What an operator should change about the topics, one sentence each; empty: nothing."""
        names = [self._name(topic) for topic in topics]
        return list(
            topics_.deviations(self._requests, self._url, names, partitions, self._retention_hours)
        )

    def missing_rights(self, topics: Iterable[str]) -> list[str]:
        """Rights on existing topics that the user does not have, one sentence a topic."""
        return list(topics_.missing_rights(self._requests, [self._name(each) for each in topics]))

    def publish(self, messages: Sequence[Message]) -> None:
        """Append the messages; they are durable when this returns.

        After a failure some may be in the log all the same.

        Raises:
            ConfigurationError: a topic does not exist (then nothing was published).
            MessageRefusedError: a message is too large, or the brokers never take it.
        """
        wanted = {message.topic for message in messages}
        for topic in sorted(wanted - self._known):
            self._requests.describe(self._name(topic))
            self._known.add(topic)
        try:
            self._publisher.publish(messages)
        except UnknownTopicError:
            self._known -= wanted
            raise

    def topic_id(self, topic: str) -> str:
        """An identifier that changes when the topic is deleted and created again."""
        return str(self._requests.describe(self._name(topic)).topic_id)

    def watermarks(self, topic: str) -> dict[int, Watermarks]:
        """Low and high watermark of each partition."""
        name = self._name(topic)
        return self._requests.watermarks(name, self._partitions(topic))

    def read(self, offsets: OffsetRange) -> Iterator[Record]:
        """The records of a range, in the order of their offsets, a few hundred at a time.

        Offsets that no record has (a transaction's markers) are passed over.

        Raises:
            RangeGoneError: at the call, when the range is not wholly in the log; while reading,
                when retention overtakes the reader or the topic becomes another one.
        """
        self._require(offsets)
        return self._records(offsets)

    def timestamp(self, topic: str, partition: int, offset: int) -> int | None:
        """When the first record at or after ``offset`` was published (µs); None at the end."""
        low, high = self._marks(topic, partition)
        rest = OffsetRange(topic, "", partition, max(low, offset), high)
        if rest.start >= rest.end:
            return None
        record = self._readers.first(self._name(topic), rest, lambda _: None)
        return None if record is None else record.timestamp

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Note that ``group`` has processed everything below ``offset``. Only shows lag."""
        name = self._name(topic)
        self._requests.describe(name)
        self._groups.commit(self._name(group), name, {partition: offset})

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The committed offset of each partition that has one."""
        partitions = self._partitions(topic)
        return self._groups.committed(self._name(group), self._name(topic), partitions)

    def trim(self, topic: str, partition: int, before: int) -> int:
        """Delete records below offset ``before`` and return the new low watermark."""
        low, high = self._marks(topic, partition)
        if before <= low:
            return low
        return self._requests.delete_before(self._name(topic), partition, min(before, high))

    def close(self) -> None:
        """Close the connections; no call may be under way."""
        self._publisher.close()
        self._readers.close()
        self._groups.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _name(self, name: str) -> str:
        """A topic's or group's name in the cluster."""
        return self._url.topic_prefix + name

    def _partitions(self, topic: str) -> list[int]:
        return [each.id for each in self._requests.describe(self._name(topic)).partitions]

    def _marks(self, topic: str, partition: int) -> Watermarks:
        partitions = self._partitions(topic)
        if partition not in partitions:
            raise ConfigurationError(
                f"topic {topic!r} has no partition {partition}: it has {len(partitions)}, counted "
                "from 0"
            )
        return self._requests.watermarks(self._name(topic), [partition])[partition]

    def _records(self, offsets: OffsetRange) -> Iterator[Record]:
        yield from self._readers.read(self._name(offsets.topic), offsets, self._require)
        topic_id = self.topic_id(offsets.topic)
        if not is_of_topic(offsets, topic_id):
            require_range(offsets, topic_id, {})

    def _require(self, offsets: OffsetRange) -> None:
        """Raise unless the log holds the whole range."""
        name = self._name(offsets.topic)
        described = self._requests.describe(name)
        partitions = {each.id for each in described.partitions}
        marks = self._requests.watermarks(name, partitions & {offsets.partition})
        require_range(offsets, str(described.topic_id), marks)
