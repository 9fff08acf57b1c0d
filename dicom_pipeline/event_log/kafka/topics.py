"""How topics are made, and how existing ones differ from that.

Topics are named as the cluster has them.
"""

from collections.abc import Iterator, Sequence
from time import monotonic, sleep
from typing import Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AclOperation, ConfigResource, NewTopic, ResourceType

from dicom_pipeline.errors import TransientError
from dicom_pipeline.event_log.bounds import UnknownTopicError
from dicom_pipeline.event_log.kafka.requests import Requests
from dicom_pipeline.event_log.kafka.url import KafkaUrl

RETENTION_FACTOR: Final = 4
"""The brokers keep messages for so many times ``EVENT_LOG_RETENTION_HOURS`` and then delete them,
processed or not. Before that the nightly job deletes what every stage has passed."""

_HOUR_MS: Final = 3_600_000
_REPLICAS_WITH_ACKS: Final = 3
"""With so many replicas, one may be away while another confirms each message."""

_RIGHTS: Final = (
    AclOperation.DESCRIBE,
    AclOperation.READ,
    AclOperation.WRITE,
    AclOperation.DELETE,
)
"""On each topic; Delete is the nightly job's, which trims."""


def configuration(url: KafkaUrl, retention_hours: int) -> dict[str, str]:
    """The configuration of a new topic.

    The brokers' clocks stamp the messages, so that those of an outbox that waited for days are not
    old when they come, and nobody's wrong clock makes retention delete too early.
    """
    hours = retention_hours * RETENTION_FACTOR
    if url.retention_hours is not None:
        hours = url.retention_hours
    wanted = {
        "cleanup.policy": "delete",
        "retention.ms": str(hours * _HOUR_MS if hours >= 0 else -1),
        "retention.bytes": "-1",
        "max.message.bytes": str(url.max_message_bytes),
        "message.timestamp.type": "LogAppendTime",
    }
    if url.replication is not None and url.replication >= _REPLICAS_WITH_ACKS:
        wanted["min.insync.replicas"] = str(url.replication - 1)
    return wanted


def create(
    requests: Requests, url: KafkaUrl, topics: Sequence[str], partitions: int, retention_hours: int
) -> None:
    """Create the topics that are missing, and wait until they can be used."""
    existing = requests.existing(topics)
    missing = [topic for topic in topics if topic not in existing]
    if not missing:
        return
    wanted = configuration(url, retention_hours)
    asked = requests.admin.create_topics(
        [NewTopic(topic, partitions, url.replication or -1, config=wanted) for topic in missing],
        operation_timeout=url.timeout_seconds,
        request_timeout=url.timeout_seconds,
    )
    for topic, future in asked.items():
        if not _is_there_already(future.exception(2 * url.timeout_seconds)):
            requests.answer(future, f"creating topic {topic}")
    _await_leaders(requests, missing, url.timeout_seconds)


def _is_there_already(error: BaseException | None) -> bool:
    """Another process was first."""
    return (
        isinstance(error, KafkaException)
        and error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS
    )


def _await_leaders(requests: Requests, topics: Sequence[str], seconds: float) -> None:
    """A topic's name is known to brokers a moment before its partitions have leaders."""
    deadline = monotonic() + seconds
    for topic in topics:
        while True:
            try:
                requests.watermarks(topic, range(len(requests.describe(topic).partitions)))
            except (UnknownTopicError, TransientError):
                if monotonic() > deadline:
                    raise
                sleep(0.1)
            else:
                break


def deviations(
    requests: Requests, url: KafkaUrl, topics: Sequence[str], partitions: int, retention_hours: int
) -> Iterator[str]:
    """What an operator should change about existing topics, one sentence each.

    A topic that is missing is one, too.
    """
    existing = requests.existing(topics)
    for topic in topics:
        if topic in existing:
            for found in _deviations(requests, url, topic, partitions, retention_hours):
                yield f"topic {topic}: {found}"
        else:
            yield f"topic {topic} does not exist: create it with `dicom-pipeline migrate`"


def _deviations(
    requests: Requests, url: KafkaUrl, topic: str, partitions: int, retention_hours: int
) -> Iterator[str]:
    found = len(requests.describe(topic).partitions)
    if found < partitions:
        yield (
            f"{found} partitions, EVENT_LOG_PARTITIONS is {partitions}: add partitions with "
            "kafka-topics --alter, or lower the setting"
        )
    resource = ConfigResource(ResourceType.TOPIC, topic)
    (future,) = requests.admin.describe_configs([resource]).values()
    settings = {
        name: entry.value
        for name, entry in requests.answer(future, f"configuration of topic {topic}").items()
    }
    if settings["cleanup.policy"] != "delete":
        yield (
            f"cleanup.policy={settings['cleanup.policy']} deletes messages that are needed: set it "
            "to delete"
        )
    retention = int(settings["retention.ms"])
    if 0 <= retention < retention_hours * _HOUR_MS:
        yield (
            f"retention.ms={retention} is shorter than EVENT_LOG_RETENTION_HOURS="
            f"{retention_hours}: messages may be deleted before they are processed"
        )
    if int(settings["max.message.bytes"]) < url.max_message_bytes:
        yield (
            f"max.message.bytes={settings['max.message.bytes']} is less than max_message_bytes="
            f"{url.max_message_bytes} of EVENT_LOG_URL: what is larger is set aside"
        )
    if int(settings["retention.bytes"]) >= 0:
        yield (
            f"retention.bytes={settings['retention.bytes']}: a backlog may be deleted before it is "
            "processed: set it to -1"
        )


def missing_rights(requests: Requests, topics: Sequence[str]) -> Iterator[str]:
    """Rights on existing topics that the user does not have, one sentence a topic."""
    asked = requests.admin.describe_topics(
        TopicCollection(list(topics)), include_authorized_operations=True
    )
    for topic in topics:
        granted = requests.answer(
            asked[topic], f"rights on topic {topic}", topic
        ).authorized_operations
        # Without an authorizer the brokers name none.
        lacking = [right.name for right in _RIGHTS if granted and right not in granted]
        if lacking:
            yield f"topic {topic}: the user lacks the rights {', '.join(lacking)}"
