"""``EVENT_LOG_URL`` of a Kafka cluster, read into what clients and topics need.

``kafka://[user:password@]host:port[,host:port…][?option=value&…]``, or ``kafka+ssl://`` for TLS.
``docs/kafka.md`` lists the options. No error here shows the URL: it may hold a password.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl, unquote

from dicom_pipeline.errors import ConfigurationError

SCHEMES: Final = ("kafka", "kafka+ssl")

_COMPRESSIONS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
_MECHANISMS: Final = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_TOPIC_PREFIX: Final = re.compile(r"[A-Za-z0-9._-]{0,200}")
_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")

_KEPT: Final = frozenset(
    {
        "allow.auto.create.topics",
        "auto.offset.reset",
        "bootstrap.servers",
        "enable.auto.commit",
        "enable.auto.offset.store",
        "enable.idempotence",
        "enable.partition.eof",
        "group.id",
        "isolation.level",
        "message.max.bytes",
        "message.timeout.ms",
        "request.required.acks",
        "transactional.id",
    }
)
"""Properties of librdkafka that the log's promises rest on: no URL changes them."""


@dataclass(frozen=True)
class KafkaUrl:
    """Where the brokers are, how to speak with them, and how topics are made."""

    bootstrap: str
    """``host:port``, separated by commas."""
    security: Mapping[str, str] = field(repr=False)
    """librdkafka's properties of TLS and SASL, the password among them."""
    topic_prefix: str = ""
    """Stands before the names of topics and consumer groups in the cluster."""
    replication: int | None = None
    """Replicas of a topic when it is created; None: the cluster's default."""
    retention_hours: int | None = None
    """After this time the brokers delete, come what may; -1: never; None: see `topics`."""
    compression: str = "lz4"
    max_message_bytes: int = 4 << 20
    """The largest message: of the producer, and of topics when they are created."""
    timeout_seconds: float = 10.0
    """No answer for this long means that the brokers are away."""
    publish_seconds: float = 30.0
    """How long one call of `publish` may take before it fails."""
    properties: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Further properties of librdkafka."""

    @classmethod
    def parse(cls, text: str) -> "KafkaUrl":
        """Read ``EVENT_LOG_URL``.

        Raises:
            ConfigurationError: it is malformed, or has an option that nobody knows.
        """
        scheme, _, rest = text.partition("://")
        if scheme not in SCHEMES:
            raise _wrong(f"it begins with neither of {', '.join(f'{s}://' for s in SCHEMES)}")
        location, _, query = rest.partition("?")
        login, _, servers = location.rstrip("/").rpartition("@")
        options = _options(query)
        security = _security(scheme, login, options)
        properties = {name: options.pop(name) for name in list(options) if "." in name}
        if forbidden := sorted(_KEPT & properties.keys()):
            raise _wrong(f"{', '.join(forbidden)} cannot be changed")
        known = _fields(options)
        if options:
            raise _wrong(
                f"unknown option {', '.join(sorted(options))}: docs/kafka.md lists the options"
            )
        return cls(_servers(servers), security, properties=properties, **known)

    def client(self) -> dict[str, Any]:
        """The properties that all clients of librdkafka share."""
        milliseconds = round(self.timeout_seconds * 1000)
        return {
            "bootstrap.servers": self.bootstrap,
            "client.id": "dicom-pipeline",
            # Brokers that come back are noticed soon.
            "reconnect.backoff.ms": 100,
            "reconnect.backoff.max.ms": 1000,
            "socket.keepalive.enable": True,
            "socket.connection.setup.timeout.ms": max(1000, milliseconds),
            "socket.timeout.ms": max(10_000, milliseconds),
            **self.security,
            **self.properties,
        }


def is_kafka(text: str) -> bool:
    """Whether ``EVENT_LOG_URL`` means Kafka."""
    return text.partition("://")[0] in SCHEMES


def _wrong(reason: str) -> ConfigurationError:
    return ConfigurationError(
        f"EVENT_LOG_URL: {reason}; it is "
        "kafka://host:port,host:port?option=value, or kafka+ssl:// for TLS"
    )


def _options(query: str) -> dict[str, str]:
    try:
        # A plus sign in a path or a password is meant: nobody writes spaces so.
        pairs = parse_qsl(
            query.replace("+", "%2B"), keep_blank_values=True, strict_parsing=bool(query)
        )
    except ValueError:
        raise _wrong("an option is not name=value") from None
    options = dict(pairs)
    if len(options) < len(pairs):
        raise _wrong("an option is given twice")
    return options


def _servers(text: str) -> str:
    servers = text.split(",")
    for server in servers:
        if not _SERVER.fullmatch(server):
            raise _wrong("a server is not host:port")
    return ",".join(
        server if re.search(r":\d+$", server) else f"{server}:9092" for server in servers
    )


def _security(scheme: str, login: str, options: dict[str, str]) -> dict[str, str]:
    """The properties of TLS and SASL; takes their options out of ``options``."""
    tls = {
        "ca": "ssl.ca.location",
        "certificate": "ssl.certificate.location",
        "key": "ssl.key.location",
        "key_password": "ssl.key.password",
    }
    given = {name: options.pop(name) for name in tls if name in options}
    if given and scheme != "kafka+ssl":
        raise _wrong(f"{', '.join(sorted(given))} is for kafka+ssl:// only")
    for name in given.keys() & {"ca", "certificate", "key"}:
        if not Path(given[name]).is_file():
            raise _wrong(f"the file of option {name} does not exist: {given[name]}")
    properties = {tls[name]: value for name, value in given.items()}
    mechanism = options.pop("sasl_mechanism", None)
    if login:
        user, colon, password = login.partition(":")
        if not (user and colon):
            raise _wrong("a user needs a password (user:password@, percent-encoded)")
        mechanism = mechanism or "SCRAM-SHA-512"
        if mechanism not in _MECHANISMS:
            raise _wrong(f"sasl_mechanism is none of {', '.join(_MECHANISMS)}")
        properties |= {
            "sasl.mechanism": mechanism,
            "sasl.username": unquote(user),
            "sasl.password": unquote(password),
        }
    elif mechanism:
        raise _wrong("sasl_mechanism needs user:password@")
    protocol = ("SASL_" if login else "") + ("SSL" if scheme == "kafka+ssl" else "PLAINTEXT")
    return {"security.protocol": protocol, **properties}


def _fields(options: dict[str, str]) -> dict[str, Any]:
    """The options that are fields of `KafkaUrl`; takes them out of ``options``."""
    found: dict[str, Any] = {}
    for name, convert in _CONVERTED.items():
        if name in options:
            try:
                found[name] = convert(options.pop(name))
            except ValueError as error:
                raise _wrong(f"option {name}: {error}") from None
    return found


def _whole(low: int, high: int) -> Any:  # noqa: ANN401 - a function of str
    def convert(text: str) -> int:
        if not re.fullmatch(r"-?\d{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"not a whole number from {low} to {high}")
        return int(text)

    return convert


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,5}(\.\d{1,3})?", text) or not 0.1 <= float(text) <= 3600:  # noqa: PLR2004
        raise ValueError("not a number of seconds from 0.1 to 3600")
    return float(text)


def _compression(text: str) -> str:
    if text not in _COMPRESSIONS:
        raise ValueError(f"none of {', '.join(_COMPRESSIONS)}")
    return text


def _prefix(text: str) -> str:
    if not _TOPIC_PREFIX.fullmatch(text):
        raise ValueError("a topic's name is made of letters, digits, '.', '_' and '-'")
    return text


_CONVERTED: Final = {
    "topic_prefix": _prefix,
    "replication": _whole(1, 32767),
    "retention_hours": _whole(-1, 1_000_000),
    "compression": _compression,
    "max_message_bytes": _whole(1 << 16, 64 << 20),
    "timeout_seconds": _seconds,
    "publish_seconds": _seconds,
}
