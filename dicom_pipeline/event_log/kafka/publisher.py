"""Publishing: an idempotent producer whose every call waits until its messages are durable."""

import threading
from collections.abc import Sequence
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer
from confluent_kafka import Message as Delivered

from dicom_pipeline.errors import MessageRefusedError
from dicom_pipeline.event_log import Message
from dicom_pipeline.event_log.bounds import unknown_topic
from dicom_pipeline.event_log.kafka.clients import make_client
from dicom_pipeline.event_log.kafka.failures import Failures, Patience, is_unknown_topic
from dicom_pipeline.event_log.kafka.url import KafkaUrl

_LOOK_SECONDS: Final = 0.1
_OVERHEAD: Final = 512
"""What a record adds to its key and value, amply."""
_BUFFER_KILOBYTES: Final = 65536


class _Batch:
    """What became of the messages of one call: told by the threads that serve callbacks."""

    def __init__(self) -> None:
        self.waiting = 0
        self.error: KafkaError | None = None
        self.topic = ""
        self._lock = threading.Lock()

    def sent(self) -> None:
        with self._lock:
            self.waiting += 1

    def delivered(self, error: KafkaError | None, message: Delivered) -> None:
        with self._lock:
            self.waiting -= 1
            if error is not None and self.error is None:
                self.error, self.topic = error, message.topic() or ""


class Publisher:
    """One producer, made anew after a failure, so that nothing of a failed call comes later."""

    def __init__(self, url: KafkaUrl, failures: Failures) -> None:
        self._url = url
        self._failures = failures
        self._lock = threading.Lock()
        self._producer: Producer | None = None

    def publish(self, messages: Sequence[Message]) -> None:
        """Append the messages; they are on the disks of the brokers' choice when this returns.

        After a failure some may be in the log all the same.

        Raises:
            MessageRefusedError: one is too large; nothing was published if that is by our own
                ``max_message_bytes``.
            ConfigurationError: a topic does not exist, or a right is missing.
            TransientError: the brokers are away.
        """
        for message in messages:
            self._require_size(message)
        patience = Patience(self._failures, self._url.publish_seconds)
        producer, batch = self._current(), _Batch()
        try:
            for message in messages:
                self._send(producer, message, batch, patience)
            while batch.waiting:
                producer.poll(_LOOK_SECONDS)
                self._look(batch, patience)
            self._look(batch, patience)
            patience.answered()
        except BaseException:
            self._discard(producer)
            raise

    def _require_size(self, message: Message) -> None:
        size = len(message.key.encode()) + len(message.value) + _OVERHEAD
        if size > self._url.max_message_bytes:
            raise MessageRefusedError(
                f"a message of {size} bytes for {message.topic} is larger than the event log takes "
                f"({self._url.max_message_bytes}): raise max_message_bytes in EVENT_LOG_URL and "
                "max.message.bytes of the topic"
            )

    def _send(
        self, producer: Producer, message: Message, batch: _Batch, patience: Patience
    ) -> None:
        while True:
            batch.sent()
            try:
                producer.produce(
                    self._url.topic_prefix + message.topic,
                    key=message.key.encode(),
                    value=message.value,
                    on_delivery=batch.delivered,
                )
            except BufferError:  # its queue is full
                batch.waiting -= 1
                producer.poll(_LOOK_SECONDS)
                self._look(batch, patience)
            except KafkaException as error:
                batch.waiting -= 1
                raise self._explained(error.args[0], message.topic) from None
            else:
                return

    def _look(self, batch: _Batch, patience: Patience) -> None:
        """Raise as soon as the call has failed."""
        if batch.error is not None:
            raise self._explained(batch.error, batch.topic)
        if batch.waiting and patience.is_over():
            raise self._failures.away("publishing")

    def _explained(self, error: KafkaError, topic: str) -> Exception:
        if is_unknown_topic(error):
            return unknown_topic(topic)
        return self._failures.explained(error, f"publishing to {topic}")

    def _current(self) -> Producer:
        with self._lock:
            if self._producer is None:
                self._producer = make_client(
                    Producer, self._url, self._failures, _settings(self._url)
                )
            return self._producer

    def _discard(self, producer: Producer) -> None:
        with self._lock:
            if self._producer is producer:
                self._producer = None
        producer.purge()
        producer.poll(0)

    def close(self) -> None:
        """Let go of the producer: no call is waiting for it."""
        with self._lock:
            self._producer = None


def _settings(url: KafkaUrl) -> dict[str, Any]:
    return {
        "enable.idempotence": True,
        "acks": "all",
        "compression.type": url.compression,
        "linger.ms": 5,
        "max.in.flight.requests.per.connection": 5,
        "message.max.bytes": url.max_message_bytes,
        "message.timeout.ms": round(url.publish_seconds * 1000),
        "partitioner": "murmur2_random",  # as Java's clients
        "queue.buffering.max.kbytes": _BUFFER_KILOBYTES,
        # A missing topic is told at once; new ones have been waited for.
        "topic.metadata.propagation.max.ms": 1000,
    }
