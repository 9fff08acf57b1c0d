"""The event log: a SQLite file, or Kafka."""

from collections.abc import Iterator
from typing import Final

from dicom_pipeline.cli.checks.check import Check, failure, ok, warning
from dicom_pipeline.cli.checks.embedded import check_file, not_created, opened
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
        yield from _embedded(settings)


def _embedded(settings: Settings) -> Iterator[Check]:
    path = settings.home / "events.db"
    if missing := not_created(SYSTEM, path):
        yield missing
        return
    yield from check_file(SYSTEM, path)
    with opened(path) as file:
        found = {str(row["name"]): int(str(row["n"])) for row in file.query(_PARTITIONS)}
    yield _queues(found, settings)


def _queues(found: dict[str, int], settings: Settings) -> Check:
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
