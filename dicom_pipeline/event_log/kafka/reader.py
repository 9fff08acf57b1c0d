"""Reading ranges: consumers that are assigned to a partition and an offset, never to a group.

A consumer costs connections and threads, so those that are not in use are kept for the next range.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec
from confluent_kafka import (
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    KafkaError,
    Message,
    TopicPartition,
)

from dicom_pipeline.event_log import Record
from dicom_pipeline.event_log.kafka.clients import make_client
from dicom_pipeline.event_log.kafka.failures import Failures, Patience
from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline.messages import OffsetRange

_CHUNK: Final = 200
"""Records taken at a time."""
_LOOK_SECONDS: Final = 0.2
_BUFFER_KILOBYTES: Final = 16384
"""What a consumer fetches ahead."""
_IDLE: Final = 2
"""Consumers kept for the next range."""


class Readers:
    """The consumers of one event log. Threads may share it; a range has a consumer of its own."""

    def __init__(self, url: KafkaUrl, failures: Failures) -> None:
        self._url = url
        self._failures = failures
        self._settings = {
            # Groups are for others to see lag; nothing is subscribed to and nothing committed here.
            "group.id": f"{url.topic_prefix}dicom-pipeline-reader",
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            # What is not there any more is reported, not skipped.
            "auto.offset.reset": "error",
            # Nobody's open transaction stops a queue.
            "isolation.level": "read_uncommitted",
            "queued.max.messages.kbytes": _BUFFER_KILOBYTES,
            # At the end of the log the next range would wait for the last one's fetch.
            "fetch.wait.max.ms": 10,
            "fetch.error.backoff.ms": 50,
        }
        self._idle: list[Consumer] = []
        self._closed = False
        self._lock = threading.Lock()

    def read(
        self, topic: str, offsets: OffsetRange, require: Callable[[OffsetRange], object]
    ) -> Iterator[Record]:
        """The records of a range; offsets that no record has are passed over.

        ``require`` raises unless the log holds the whole of what it is given: it is asked where
        records seem to be missing.
        """
        expected = offsets.start
        with self._assigned(topic, offsets) as consumer:
            for message in self._messages(consumer, offsets, require):
                offset = _offset(message)
                if offset > expected:
                    require(msgspec.structs.replace(offsets, start=expected))
                if offset >= offsets.end:
                    return
                yield _record(offsets, message)
                expected = offset + 1

    def first(
        self, topic: str, offsets: OffsetRange, require: Callable[[OffsetRange], object]
    ) -> Record | None:
        """The first record of the range; None when no offset in it has one."""
        with self._assigned(topic, offsets) as consumer:
            message = next(self._messages(consumer, offsets, require), None)
            if message is None or _offset(message) >= offsets.end:
                return None
            return _record(offsets, message)

    def _messages(
        self, consumer: Consumer, offsets: OffsetRange, require: Callable[[OffsetRange], object]
    ) -> Iterator[Message]:
        """Messages from the range's start on, to its end or the first one behind it."""
        position = offsets.start
        patience = Patience(self._failures, self._url.timeout_seconds)
        while position < offsets.end:
            messages = consumer.consume(min(_CHUNK, offsets.end - position), _LOOK_SECONDS)
            for message in messages:
                if (error := message.error()) is None:
                    position = _offset(message) + 1
                    patience.answered()
                    yield message
                elif error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                    require(msgspec.structs.replace(offsets, start=position))
                    raise self._failures.explained(error, f"reading {offsets} at {position}")
                elif _offset(message) >= offsets.end:
                    return
                else:
                    require(msgspec.structs.replace(offsets, start=position))
            if not messages and patience.is_over():
                raise self._failures.away(f"reading {offsets} at {position}")

    @contextmanager
    def _assigned(self, topic: str, offsets: OffsetRange) -> Iterator[Consumer]:
        with self._lock:
            consumer = self._idle.pop() if self._idle else None
        if consumer is None:
            consumer = make_client(Consumer, self._url, self._failures, self._settings)
        try:
            consumer.assign([TopicPartition(topic, offsets.partition, offsets.start)])
            yield consumer
        finally:
            self._give_back(consumer)

    def _give_back(self, consumer: Consumer) -> None:
        consumer.unassign()
        with self._lock:
            if keep := not self._closed and len(self._idle) < _IDLE:
                self._idle.append(consumer)
        if not keep:
            consumer.close()

    def close(self) -> None:
        """Close the consumers; one in use is closed when its range is read."""
        with self._lock:
            idle, self._idle, self._closed = self._idle, [], True
        for consumer in idle:
            consumer.close()


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None  # every message that was read has one
    return offset


def _record(offsets: OffsetRange, message: Message) -> Record:
    """The message, whoever wrote it: keys and values may be missing, keys may be no text."""
    kind, milliseconds = message.timestamp()
    key, value = message.key(), message.value()
    return Record(
        offsets.topic,
        offsets.partition,
        _offset(message),
        0 if kind == TIMESTAMP_NOT_AVAILABLE else milliseconds * 1000,
        key.decode(errors="replace") if isinstance(key, bytes) else key or "",
        value.encode() if isinstance(value, str) else value or b"",
    )
