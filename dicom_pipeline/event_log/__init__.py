"""The port of the event log: topics with partitions, offsets and ranges, as Kafka has them.

`open_event_log` turns the setting into an adapter. Every adapter passes the same contract tests.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol, Self

from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.settings import Settings


class Message(NamedTuple):
    """What is published. Messages of one key of one topic keep their order."""

    topic: str
    key: str
    value: bytes


class Record(NamedTuple):
    """A message as it stands in the log."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    """When it was published: µs since the epoch."""
    key: str
    value: bytes


class Watermarks(NamedTuple):
    """``low``: the first offset that is still there; ``high``: the next one to be written."""

    low: int
    high: int


class EventLog(Protocol):
    """Durable queues. Calls raise `TransientError` while the system behind them is away."""

    def create_topics(self, topics: Iterable[str], partitions: int) -> None:
        """Create what is missing; topics that exist keep their partitions."""

    def publish(self, messages: Sequence[Message]) -> None:
        """Append the messages; they are durable when this returns.

        Raises:
            ConfigurationError: a topic does not exist.
            MessageRefusedError: the log will never take one of them, such as one too large.
        """

    def topic_id(self, topic: str) -> str:
        """An identifier that changes when the topic is deleted and created again."""

    def watermarks(self, topic: str) -> dict[int, Watermarks]:
        """Low and high watermark of each partition."""

    def read(self, offsets: OffsetRange) -> Iterator[Record]:
        """The records of a range, in the order of their offsets, few at a time in memory.

        Raises:
            RangeGoneError: (before the first record) the topic is another one than the range was
                planned on, or the log starts behind the range's start or ends before its end.
                The generation in the range's topic id is not looked at (see `bounds`).
        """

    def timestamp(self, topic: str, partition: int, offset: int) -> int | None:
        """When the first record at or after ``offset`` was published (µs); None at the end."""

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Note that ``group`` has processed everything below ``offset``. Only shows lag."""

    def committed(self, group: str, topic: str) -> dict[int, int]:
        """The committed offset of each partition that has one."""

    def trim(self, topic: str, partition: int, before: int) -> int:
        """Delete records below offset ``before`` and return the new low watermark."""

    def close(self) -> None:
        """Let go of files and connections."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_event_log(settings: Settings) -> EventLog:
    """The event log that ``EVENT_LOG_URL`` chooses; the embedded one when it is empty."""
    from dicom_pipeline.event_log.sqlite import SqliteEventLog  # noqa: PLC0415 - only when chosen

    if settings.event_log_url:
        return _open_kafka(settings)
    return SqliteEventLog(settings.home / "events.db")


def _open_kafka(settings: Settings) -> EventLog:
    from dicom_pipeline.event_log.kafka import KafkaEventLog  # noqa: PLC0415 - only when chosen
    from dicom_pipeline.event_log.kafka.url import KafkaUrl  # noqa: PLC0415

    url = KafkaUrl.parse(settings.event_log_url)
    return KafkaEventLog(url, settings.event_log_retention_hours)
