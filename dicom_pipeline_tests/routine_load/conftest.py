"""A routine load that reads real Kafka and writes into a double of Doris."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from dicom_pipeline.event_log import EventLog, Message
from dicom_pipeline.messages import DEAD_LETTER_QUEUE, LOG_QUEUE, OffsetRange, encode
from dicom_pipeline.routine_load.manager import RoutineLoad
from dicom_pipeline.routine_load.opening import Managed, open_routine_load
from dicom_pipeline.routine_load.state import RoutineLoadState, State
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import OBJECT_META
from dicom_pipeline.warehouse.doris.adapter import DorisWarehouse
from dicom_pipeline_tests.events import an_event
from dicom_pipeline_tests.services.doris import DorisDouble

PARTITIONS = 2
QUEUES = (LOG_QUEUE, DEAD_LETTER_QUEUE)
SECONDS = 20


@dataclass
class World:
    """Kafka, the double, and what manages the routine load between them."""

    settings: Settings
    cluster: DorisDouble
    database: str
    managed: Managed

    @property
    def load(self) -> RoutineLoad:
        return self.managed.load

    @property
    def log(self) -> EventLog:
        return self.managed.log

    @property
    def warehouse(self) -> DorisWarehouse:
        return self.managed.warehouse

    def publish(self, numbers, **changes) -> None:
        """The events of these receipts, spread over the partitions."""
        events = [event(number, **changes) for number in numbers]
        self.log.publish([Message(LOG_QUEUE, one.key, encode(one)) for one in events])

    def publish_bad(self, count: int, value: bytes = b"no JSON of ours") -> None:
        self.log.publish([Message(LOG_QUEUE, f"bad{n}", value) for n in range(count)])

    def receipts(self) -> list[str]:
        rows = self.warehouse.query(f"SELECT trace_id FROM {OBJECT_META} ORDER BY trace_id")
        return [str(row["trace_id"]) for row in rows]

    def state(self) -> RoutineLoadState:
        return self.load.require()

    def wait_for(self, reached: Callable[[], bool]) -> None:
        deadline = time.monotonic() + SECONDS
        while not reached():
            assert time.monotonic() < deadline, self.load.all()
            time.sleep(0.02)

    def wait_for_state(self, state: State) -> None:
        self.wait_for(lambda: self.state().state is state)

    def wait_until_read(self) -> None:
        """Until it has read all that is in the queue."""
        marks = self.log.watermarks(LOG_QUEUE)
        ends = {partition: mark.high for partition, mark in marks.items()}
        self.wait_for(lambda: self.state().next_offsets(marks) == ends)

    def dead_letters(self) -> list[bytes]:
        found = []
        for partition, (low, high) in self.log.watermarks(DEAD_LETTER_QUEUE).items():
            topic_id = self.log.topic_id(DEAD_LETTER_QUEUE)
            if low < high:
                offsets = OffsetRange(DEAD_LETTER_QUEUE, topic_id, partition, low, high)
                found += [record.value for record in self.log.read(offsets)]
        return found


def trace(number: int) -> str:
    return f"019a0000-0000-7000-8000-{number:012x}"


def event(number: int, **changes):
    return an_event(trace_id=trace(number), sop_uid=f"1.2.3.{number}", **changes)


@pytest.fixture(scope="session")
def doris() -> Iterator[DorisDouble]:
    with DorisDouble() as cluster:
        yield cluster


@pytest.fixture
def cluster(doris: DorisDouble) -> Iterator[DorisDouble]:
    """The double, as it is when nothing was changed."""
    yield doris
    doris.routine_loads.rereads = doris.routine_loads.alter_pins = False
    doris.routine_loads.batch_rows = 1 << 31


@pytest.fixture
def database(cluster: DorisDouble) -> Iterator[str]:
    database = cluster.new_database()
    yield database
    cluster.routine_loads.drop(database)
    cluster.catalog.drop(database)


@pytest.fixture
def world(tmp_path, cluster, database, kafka_url) -> Iterator[World]:
    """Queues and tables are there, the routine load is not yet."""
    settings = Settings(
        dicom_pipeline_home=tmp_path / "home",
        event_log_url=kafka_url,
        event_log_partitions=PARTITIONS,
        warehouse_url=cluster.url(database, max_batch_interval=1),
    )
    with open_routine_load(settings) as managed:
        managed.log.create_topics(QUEUES, PARTITIONS)
        managed.warehouse.migrate()
        yield World(settings, cluster, database, managed)
