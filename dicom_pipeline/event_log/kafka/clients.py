"""Making librdkafka's clients: with its log and its news of connections going where we want."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from confluent_kafka import KafkaException

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log.kafka.failures import Failures
from dicom_pipeline.event_log.kafka.url import KafkaUrl

logger = logging.getLogger(__name__)

Client = TypeVar("Client")


class _Log:
    """Takes librdkafka's log lines: its news of an outage are told once, by our own errors."""

    def log(self, _level: int, text: str, *arguments: object) -> None:
        logger.debug(text, *arguments)


def make_client(
    kind: Callable[[dict[str, Any]], Client],
    url: KafkaUrl,
    failures: Failures,
    settings: Mapping[str, Any] | None = None,
) -> Client:
    """A client of the cluster; it connects by itself, later.

    Raises:
        ConfigurationError: librdkafka does not know a property or a value, or cannot use a
            certificate or key.
    """
    everything = {
        **(settings or {}),
        "logger": _Log(),
        "error_cb": failures.note,
        **url.client(),
    }
    try:
        return kind(everything)
    except KafkaException as error:
        raise ConfigurationError(f"EVENT_LOG_URL: {error.args[0].str()}") from None
