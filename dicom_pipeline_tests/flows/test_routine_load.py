"""The whole way of a receipt through Doris' routine load, and back from a burst of bad rows."""

from contextlib import contextmanager

import dagster as dg
import pytest

from dicom_pipeline.cli.migration import migrate
from dicom_pipeline.cli.progress import outbox_depth
from dicom_pipeline.cli.status import read_status
from dicom_pipeline.definitions import definitions
from dicom_pipeline.defs.object_meta import object_meta_sensor
from dicom_pipeline.defs.routine_load import routine_load_sensor
from dicom_pipeline.messages import LOG_QUEUE
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.orchestration.routine_load_runs import CHECK, KEY
from dicom_pipeline.routine_load.opening import open_routine_load
from dicom_pipeline.routine_load.state import State
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.modality import Modality
from dicom_pipeline_tests.receiver.running import process
from dicom_pipeline_tests.routine_load.conftest import PARTITIONS, World, cluster, database, doris
from dicom_pipeline_tests.services.doris.cluster import PASSWORD

__all__ = ["cluster", "database", "doris"]

pytestmark = pytest.mark.service

OBJECTS = 30
BAD = 25
NAME = "Zhang^San"
"""Stands in the bad rows, and must stand nowhere else."""


class Operator:
    """What a person sees and does in Dagster's UI, and the ticks of the sensor between."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.repository = definitions().get_repository_def()
        self.cursor: str | None = None
        self.seen: list[str] = []

    def tick(self) -> None:
        result = self._tick(routine_load_sensor, self.cursor)
        self.seen.append(repr(result))
        assert result.cursor, result.skip_message
        self.cursor = result.cursor
        for event in result.asset_events:
            self.instance.report_runless_asset_event(event)

    def log_stage_reads(self) -> bool:
        return "one writer" not in self._tick(object_meta_sensor, None).skip_message

    def run(self, action: str, **config: object) -> dg.ExecuteInProcessResult:
        name = f"routine_load_{action}"
        job = self.repository.get_job(f"{name}_job")
        run_config = {"ops": {name: {"config": config}}} if config else None
        result = job.execute_in_process(
            instance=self.instance, run_config=run_config, raise_on_error=False
        )
        self.seen.append(repr([event.event_specific_data for event in result.all_events]))
        return result

    def materialization(self) -> dict[str, object]:
        event = self.instance.get_latest_materialization_event(KEY)
        assert event
        assert event.asset_materialization
        return {name: one.value for name, one in event.asset_materialization.metadata.items()}

    def check(self):
        key = dg.AssetCheckKey(KEY, CHECK)
        summary = self.instance.event_log_storage.get_asset_check_summary_records([key])[key]
        return summary.last_check_execution_record.event.dagster_event.event_specific_data

    def _tick(self, sensor: dg.SensorDefinition, cursor: str | None):
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=cursor,
            repository_def=self.repository,
            resources={"pipeline": Pipeline()},
        )
        return sensor.evaluate_tick(context)


@contextmanager
def sending(receiver, data_sets):
    """Sends objects and waits until each is acknowledged."""
    modality = Modality(lambda: receiver.port, data_sets, per_second=500)
    modality.start()
    yield modality
    modality.join(60)
    assert len(modality.acknowledged) == len(data_sets)


def test_a_burst_of_bad_rows_is_diagnosed_repaired_and_loses_no_good_row(
    tmp_path, monkeypatch, cluster, database, kafka_url
):
    environment = {
        "EVENT_LOG_URL": kafka_url,
        "EVENT_LOG_PARTITIONS": str(PARTITIONS),
        "WAREHOUSE_URL": cluster.url(database, max_batch_interval=1),
        "DICOM_PIPELINE_HOME": str(tmp_path / "home"),
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings()

    # The seed's table and routine load, mended, by `migrate`; which may be repeated.
    first = {applied.system: applied.done for applied in migrate(settings)}
    assert "created from OFFSET_BEGINNING" in first["routine load"][0]
    again = {applied.system: applied.done for applied in migrate(settings)}
    assert "is there already" in again["routine load"][0]

    with (
        dg.DagsterInstance.ephemeral() as instance,
        open_routine_load(settings) as managed,
        process(tmp_path / "home", **environment) as receiver,
    ):
        world = World(settings, cluster, database, managed)
        operator = Operator(instance)
        assert not operator.log_stage_reads()

        # Fed by the receiver through Kafka.
        with sending(receiver, [an_image(n) for n in range(OBJECTS)]):
            pass
        world.wait_for(lambda: outbox_depth(settings) == 0)
        world.wait_until_read()
        operator.tick()
        assert operator.check().passed
        assert operator.materialization()["lag_messages"] == 0
        assert log_queue(settings).lag_messages == 0

        # Paused by a burst of bad rows, with good ones before, between and behind them.
        with sending(receiver, [an_image(n) for n in range(OBJECTS, 2 * OBJECTS)]):
            for _ in range(BAD // 5):
                world.publish_bad(5, f'{{"patient_id": "{NAME}"}}'.encode())
        world.wait_for_state(State.PAUSED)
        with sending(receiver, [an_image(n) for n in range(2 * OBJECTS, 3 * OBJECTS)]):
            pass
        world.wait_for(lambda: outbox_depth(settings) == 0)

        # Diagnosed.
        operator.tick()
        check = operator.check()
        assert not check.passed
        assert check.severity is dg.AssetCheckSeverity.ERROR
        assert "run the repair" in check.description
        shown = operator.materialization()
        assert shown["state"] == "PAUSED"
        assert shown["error_rows"] > 0
        assert shown["lag_messages"] > 0
        assert "max_error_number" in shown["reason"]
        assert check.metadata["error_log"].value
        assert not operator.run("resume").success  # it would only be paused again
        assert log_queue(settings).lag_messages > 0

        # Repaired, once for each burst that Doris comes to.
        for _ in range(BAD):
            repaired = operator.run("repair")
            assert repaired.success
            world.wait_for(lambda: caught_up(world) or world.state().state is State.PAUSED)
            if caught_up(world):
                break
        operator.tick()
        assert operator.check().passed
        assert operator.materialization()["lag_messages"] == 0
        assert log_queue(settings).lag_messages == 0

        require_nothing_lost_and_nothing_told(world, operator)


def require_nothing_lost_and_nothing_told(world: World, operator: Operator) -> None:
    """No good row is missing, no bad one forgotten, and no value or password was shown."""
    assert len(set(world.receipts())) == 3 * OBJECTS
    assert len(set(world.dead_letters())) == BAD
    said = " ".join(operator.seen)
    for secret in (NAME, PASSWORD):
        assert secret not in said


def caught_up(world: World) -> bool:
    marks = world.log.watermarks(LOG_QUEUE)
    ends = {partition: mark.high for partition, mark in marks.items()}
    return world.state().state is State.RUNNING and world.state().next_offsets(marks) == ends


def log_queue(settings: Settings):
    (queue,) = [one for one in read_status(settings).queues if one.queue == LOG_QUEUE]
    return queue
