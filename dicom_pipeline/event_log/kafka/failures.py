"""What Kafka's errors mean to us: try again, mend a setting, or this message is refused for good.

librdkafka reports two ways: the result of a call, which may be no more than "timed out", and a
callback that tells why connections fail. `Failures` keeps the latter to explain the former.
"""

import threading
from time import monotonic
from typing import Final

from confluent_kafka import KafkaError

from dicom_pipeline.errors import (
    ConfigurationError,
    MessageRefusedError,
    PipelineError,
    TransientError,
)

_DOWN_SECONDS: Final = 3.0
"""A broker that is only restarted takes longer: no call waits for it when all are down."""

_REFUSED: Final = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
    }
)

_LOGIN: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})  # noqa: SLF001 - the library's public names of local errors

_REMEDIES: Final = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED: "give the user the rights on the topic",
    KafkaError.GROUP_AUTHORIZATION_FAILED: "give the user the right Read on the consumer group",
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "give the user the right on the cluster",
    KafkaError.POLICY_VIOLATION: "ask the cluster's administrators which policy it is",
    KafkaError.INVALID_REPLICATION_FACTOR: "set option replication to fewer: so few brokers run",
    KafkaError.UNKNOWN_MEMBER_ID: "stop the other consumers of this group: they are not ours",
    KafkaError.UNSUPPORTED_VERSION: "the brokers are too old: Kafka 2.8 or newer is needed",
    KafkaError.UNSUPPORTED_SASL_MECHANISM: "set option sasl_mechanism to what the brokers offer",
    KafkaError._INVALID_ARG: "correct EVENT_LOG_URL",  # noqa: SLF001
}
"""What waiting does not mend, and who does. ``docs/kafka.md`` lists the rights."""


class Failures:
    """What librdkafka last said about its connections. For all clients of one event log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._login = ""
        self._last = ""
        self.all_down = False
        """Whether no broker can be connected to, as far as is known."""

    def note(self, error: KafkaError) -> None:
        """Librdkafka's ``error_cb``."""
        with self._lock:
            if _is_hopeless(error):
                self._login = error.str()
            if error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001
                self.all_down = True
            else:
                self._last = error.str()

    def forget(self) -> None:
        """A broker has answered: what was said before explains nothing any more."""
        with self._lock:
            self._last, self.all_down = "", False

    def raise_if_hopeless(self) -> None:
        """Waiting for an answer is of no use when nobody can log in.

        Raises:
            ConfigurationError: the brokers refused the login, or TLS failed.
        """
        with self._lock:
            reason, self._login = self._login, ""
        if reason:
            raise ConfigurationError(
                f"Kafka: {reason}: correct user, password, sasl_mechanism, ca, certificate and key "
                "in EVENT_LOG_URL (docs/kafka.md)"
            )

    def away(self, what: str, detail: str = "no answer in time") -> TransientError:
        """The error for brokers that do not answer."""
        with self._lock:
            reasons = dict.fromkeys(filter(None, (detail, self._last)))
        return TransientError(
            f"Kafka is away: {what}: {'; '.join(reasons)}: tried again by itself; check that the "
            "brokers run, and EVENT_LOG_URL"
        )

    def explained(self, error: KafkaError, what: str) -> PipelineError:
        """The error in our terms. An unknown topic is the caller's to name."""
        code = error.code()
        if code in _REFUSED:
            return MessageRefusedError(f"Kafka refuses the message: {what}: {error.str()}")
        if _is_hopeless(error):
            self.note(error)
            self.raise_if_hopeless()
        if remedy := _REMEDIES.get(code):
            return ConfigurationError(f"Kafka: {what}: {error.str()}: {remedy}")
        return self.away(what, error.str())


class Patience:
    """How long to wait for brokers: not as long when none of them can be connected to."""

    def __init__(self, failures: Failures, seconds: float) -> None:
        self._failures = failures
        self._seconds = seconds
        self._started = monotonic()

    def answered(self) -> None:
        """A broker has answered: wait for the next answer from now on."""
        self._failures.forget()
        self._started = monotonic()

    def is_over(self) -> bool:
        """Whether to give up.

        Raises:
            ConfigurationError: waiting is of no use, see `Failures.raise_if_hopeless`.
        """
        self._failures.raise_if_hopeless()
        seconds = min(self._seconds, _DOWN_SECONDS) if self._failures.all_down else self._seconds
        return monotonic() - self._started > seconds


def _is_hopeless(error: KafkaError) -> bool:
    """A refused login or certificate; a handshake that a restarting broker broke off is not."""
    code = error.code()
    return code in _LOGIN or (code == KafkaError._SSL and "certificate" in error.str())  # noqa: SLF001


def is_unknown_topic(error: KafkaError) -> bool:
    """Whether the topic (or the partition) does not exist."""
    return error.code() in {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.UNKNOWN_TOPIC_ID,
    }
