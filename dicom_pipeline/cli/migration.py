"""Bringing queues and tables up to date."""

from collections.abc import Iterator
from typing import NamedTuple

from rich.console import Console

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.cli.exits import OK
from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.messages import ALL_QUEUES
from dicom_pipeline.routine_load import feeds_the_table
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import open_warehouse


class Applied(NamedTuple):
    """What was done to one system."""

    system: str
    done: list[str]


def migrate(settings: Settings) -> Iterator[Applied]:
    """Create what is missing in each system. Idempotent."""
    settings.home.mkdir(parents=True, exist_ok=True)
    with open_event_log(settings) as log:
        log.create_topics(ALL_QUEUES, settings.event_log_partitions)
        queues = [f"{topic} ({len(log.watermarks(topic))} partitions)" for topic in ALL_QUEUES]
    yield Applied("event log", queues)
    with open_catalog(settings) as catalog:
        yield Applied("catalog", catalog.migrate())
    with open_warehouse(settings) as warehouse:
        yield Applied("warehouse", warehouse.migrate())
    if feeds_the_table(settings):
        from dicom_pipeline.routine_load.opening import (  # noqa: PLC0415 - when chosen
            open_routine_load,
        )

        with open_routine_load(settings) as managed:
            yield Applied("routine load", [managed.load.create()])


def run_migrate(settings: Settings) -> int:
    """The command `migrate`."""
    console = Console(soft_wrap=True)
    for system, done in migrate(settings):
        console.print(f"{system}: {', '.join(done) or 'up to date'}", highlight=False)
    return OK
