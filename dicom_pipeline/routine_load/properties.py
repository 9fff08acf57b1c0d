"""The properties of the routine load: what the settings say, in Doris' names."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline.messages import LOG_QUEUE
from dicom_pipeline.stages import OBJECT_META
from dicom_pipeline.warehouse.doris.events import event_jsonpaths
from dicom_pipeline.warehouse.doris.options import DorisOptions

_SECRET: Final = re.compile(r"password|secret|token|credential|jaas|\.pem$", re.IGNORECASE)
_FILES: Final = frozenset({"ssl.ca.location", "ssl.certificate.location", "ssl.key.location"})

_NUMBERS: Final[Mapping[str, tuple[int, int]]] = {
    "desired_concurrent_number": (1, 256),
    "max_batch_interval": (1, 3600),
    "max_batch_rows": (200_000, 1 << 31),
    "max_batch_size": (100 << 20, 10 << 30),
    "max_error_number": (0, 1 << 31),
}
"""Properties that may be altered by hand, with their least and greatest values."""


@dataclass(frozen=True)
class KafkaProperties:
    """What Doris' consumers need: properties that anybody may see, and the others."""

    plain: Mapping[str, str]
    secret: Mapping[str, str]


def is_secret(name: str) -> bool:
    """Whether a property's value may be shown to nobody."""
    return _SECRET.search(name) is not None


def job_properties(options: DorisOptions) -> dict[str, str]:
    """The PROPERTIES of the routine load.

    ``max_error_number`` alone decides when it pauses: Doris' versions differ in the default of
    ``max_filter_ratio``. Times have a zone, and the table's are UTC.
    """
    return {
        "desired_concurrent_number": str(options.desired_concurrent_number),
        "max_batch_interval": str(options.max_batch_interval),
        "max_batch_rows": str(options.max_batch_rows),
        "max_batch_size": str(options.max_batch_size),
        "max_error_number": str(options.max_error_number),
        "max_filter_ratio": "1.0",
        "strict_mode": "true",
        "timezone": "UTC",
        "format": "json",
        "jsonpaths": event_jsonpaths(),
    }


def altered(asked: Mapping[str, str]) -> dict[str, str]:
    """Properties that somebody wants to alter.

    Raises:
        ConfigurationError: a property cannot be altered by hand, or its value is out of bounds.
    """
    for name, value in asked.items():
        if name not in _NUMBERS:
            raise ConfigurationError(
                f"property {name!r} cannot be altered by hand; these can: {', '.join(_NUMBERS)}"
            )
        low, high = _NUMBERS[name]
        if not re.fullmatch(r"\d{1,12}", value, re.ASCII) or not low <= int(value) <= high:
            raise ConfigurationError(f"property {name}: say a whole number from {low} to {high}")
    return dict(asked)


def kafka_properties(url: KafkaUrl, options: DorisOptions) -> KafkaProperties:
    """What stands behind FROM KAFKA, the offsets left out.

    TLS files become ``FILE:name``: Doris has its own copies, made with CREATE FILE.
    """
    client = {**url.security, **url.properties}
    named = {name: _as_doris_has_it(name, value) for name, value in client.items()}
    plain = {
        "kafka_broker_list": options.kafka_broker_list or url.bootstrap,
        "kafka_topic": url.topic_prefix + LOG_QUEUE,
        "property.group.id": f"{url.topic_prefix}{OBJECT_META.consumer_group}-doris",
        "property.client.id": "dicom-pipeline",
        **{f"property.{name}": value for name, value in named.items() if not is_secret(name)},
    }
    secret = {f"property.{name}": value for name, value in named.items() if is_secret(name)}
    return KafkaProperties(plain, secret)


def needed_files(url: KafkaUrl) -> dict[str, str]:
    """The files that CREATE FILE must bring to Doris: name there, path here."""
    return {
        PurePath(path).name: path
        for name, path in {**url.security, **url.properties}.items()
        if name in _FILES
    }


def _as_doris_has_it(name: str, value: str) -> str:
    return f"FILE:{PurePath(value).name}" if name in _FILES else value
