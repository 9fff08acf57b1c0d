"""Embedded homes to copy from and to."""

from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from dagster import DagsterInstance
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    SensorInstigatorData,
)

from dicom_pipeline.catalog import AbandonedRange, Catalog, open_catalog
from dicom_pipeline.cli.migration import migrate
from dicom_pipeline.event_log import EventLog, Message, open_event_log
from dicom_pipeline.messages import ALL_QUEUES, OffsetRange
from dicom_pipeline.moving import Copying, Source, System, moved_systems
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import Stage
from dicom_pipeline.streams import Ledger, Outstanding, encode
from dicom_pipeline.warehouse import Warehouse, open_warehouse
from dicom_pipeline.warehouse.columns import TABLES
from dicom_pipeline_tests.catalog.samples import indexed, rendition, skeleton, storage_record
from dicom_pipeline_tests.flow import dump_tables
from dicom_pipeline_tests.warehouse.samples import row_of, trace


class Home(NamedTuple):
    settings: Settings
    log: EventLog
    catalog: Catalog
    warehouse: Warehouse

    def dump(self) -> dict[str, list[str]]:
        return dump_tables(self.catalog, self.warehouse)

    def values(self, queue: str) -> list[bytes]:
        """All messages of a queue, a partition after the other."""
        topic_id = self.log.topic_id(queue)
        return [
            record.value
            for partition, (low, high) in self.log.watermarks(queue).items()
            if high > low
            for record in self.log.read(OffsetRange(queue, topic_id, partition, low, high))
        ]


@contextmanager
def open_home(settings: Settings):
    with ExitStack() as stack:
        list(migrate(settings))
        yield Home(
            settings,
            stack.enter_context(open_event_log(settings)),
            stack.enter_context(open_catalog(settings)),
            stack.enter_context(open_warehouse(settings)),
        )


def fill_tables(home: Home, objects: int = 40) -> None:
    """Patients, studies and series of several objects, with skeletons and orphans among them."""
    items = [
        indexed(
            f"1.4.{number}",
            version=number + 1,
            trace_id=f"trace-{number}",
            patient=f"P{number % 3}",
            study=f"1.2.{number % 5}",
            series=f"1.3.{number % 7}",
        )
        for number in range(objects)
    ]
    home.catalog.index(items)
    # This patient's only study then turns out to be another's.
    home.catalog.index([indexed("1.4.0", version=500, patient="P1", study="1.2.9", series="1.3.9")])
    waiting = skeleton(indexed("1.5.1", patient="PX", study="1.2.77", series="1.3.77"))
    home.catalog.record_storage(
        [storage_record(f"1.2/{number}.dcm", version=number + 1) for number in range(objects)],
        [waiting],
    )
    home.catalog.record_renditions(
        [rendition(f"1.4.{number}", version=number + 1) for number in range(objects)]
    )
    for table, columns in TABLES.items():
        rows = [
            row_of(
                table,
                **{
                    **{
                        column.name: number if column.type is int else f"{column.name}-{number:03}"
                        for column in columns.columns
                        if column.name in columns.key
                    },
                    "trace_id": trace(number),
                    "row_version": number,
                },
            )
            for number in range(objects)
        ]
        home.warehouse.load(table, rows, "fill")


def publish(home: Home, queue: str, count: int, *, start: int = 0) -> list[bytes]:
    """Publish numbered messages; gives their values."""
    values = [f"{queue} {number}".encode() for number in range(start, start + count)]
    home.log.publish([Message(queue, f"key-{value.decode()}", value) for value in values])
    return values


def publish_everywhere(home: Home, count: int) -> dict[str, list[bytes]]:
    return {queue: publish(home, queue, count) for queue in ALL_QUEUES}


def ledger_of(home: Home, queue: str, *, planned: int, outstanding=()) -> Ledger:
    """A ledger that has planned so far, with ranges that are not finished."""
    return Ledger(
        topic_id=home.log.topic_id(queue),
        next={0: planned},
        outstanding=[Outstanding(partition=0, start=s, end=e) for s, e in outstanding],
    )


def abandon(home: Home, queue: str, start: int, end: int, topic_id: str = "") -> AbandonedRange:
    offsets = OffsetRange(queue, topic_id or home.log.topic_id(queue), 0, start, end)
    abandoned = AbandonedRange(offsets, 3, "test")
    home.catalog.abandon(abandoned)
    return abandoned


@contextmanager
def copying(source: Home, target: Settings, ledgers=None, only=(), progress=None):
    home = source.settings.home
    systems = moved_systems(target, home, [System(name) for name in only])
    silent = progress or (lambda *_: None)
    with (
        Source(target, home) as opened,
        Copying(target, opened, systems, ledgers or {}, silent) as begun,
    ):
        yield begun


def copy(source: Home, target: Settings, ledgers=None, only=()):
    """A whole copying; gives its report."""
    with copying(source, target, ledgers, only) as begun:
        report = begun.run()
        begun.finish(report)
    return report


def save_cursor(settings: Settings, stage: Stage, ledger: Ledger) -> None:
    """Let the stage's sensor have planned as the ledger says."""
    settings.dagster_home.mkdir(exist_ok=True)
    (settings.dagster_home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("dicom_pipeline"), "repository")
    with DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        instance.add_instigator_state(
            InstigatorState(
                RemoteInstigatorOrigin(origin, stage.sensor_name),
                InstigatorType.SENSOR,
                InstigatorStatus.RUNNING,
                SensorInstigatorData(cursor=encode(ledger), min_interval=5),
            )
        )
