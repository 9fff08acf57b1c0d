"""The event log: a SQLite file, or Kafka."""

from collections.abc import Iterator
from typing import Final

from dicom_pipeline.cli.checks.check import Check, failure, ok, warning
from dicom_pipeline.cli.checks.embedded import Embedded, check_embedded
from dicom_pipeline.messages import ALL_QUEUES
from dicom_pipeline.settings import Settings

SYSTEM: Final = "event log"

_PARTITIONS: Final = (
    "SELECT name, (SELECT COUNT(*) FROM topic_partition WHERE topic = name) AS n FROM topic"
)


def check_event_log(settings: Settings) -> Iterator[Check]:
    """The event log that the settings choose."""
    if settings.event_log_url:
        from dicom_pipeline.cli.checks.kafka import check_kafka  # noqa: PLC0415 - when chosen

        yield from check_kafka(SYSTEM, settings)
    else:
        path = settings.home / "events.db"
        yield from check_embedded(SYSTEM, path, lambda file: [_queues(file, settings)])


def _queues(file: Embedded, settings: Settings) -> Check:
    found = {str(row["name"]): int(str(row["n"])) for row in file.query(_PARTITIONS)}
    missing = [queue for queue in ALL_QUEUES if queue not in found]
    if missing:
        remedy = "run `dicom-pipeline migrate`; `up` does it by itself"
        return failure(SYSTEM, "schema", f"queues missing: {', '.join(missing)}", remedy)
    partitions = [found[queue] for queue in ALL_QUEUES]
    what = f"{len(ALL_QUEUES)} queues, {sum(partitions)} partitions"
    if min(partitions) < settings.event_log_partitions:
        remedy = "the embedded log keeps its partitions; set EVENT_LOG_PARTITIONS to what it has"
        wanted = settings.event_log_partitions
        return warning(SYSTEM, "schema", f"{what}, {wanted} a queue are wanted", remedy)
    return ok(SYSTEM, "schema", what)
