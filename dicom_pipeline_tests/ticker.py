"""The sensors and their runs, one after another in this process.

Dagster's daemon gives each run a process of its own, which takes seconds of CPU time. Where many
ticks and many failing runs are wanted, this does the same work on a real instance in a fraction.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import dagster as dg

from dicom_pipeline.definitions import definitions
from dicom_pipeline.defs.index import index_sensor
from dicom_pipeline.defs.object_meta import object_meta_sensor
from dicom_pipeline.defs.renditions import renditions_sensor
from dicom_pipeline.defs.storage import storage_sensor
from dicom_pipeline.messages import FAN_OUT
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.streams import Ledger, decode

SENSORS = {
    sensor.name: sensor
    for sensor in (storage_sensor, index_sensor, renditions_sensor, object_meta_sensor)
}
PAUSE_SECONDS = 0.2


class Ticker(threading.Thread):
    """Ticks every sensor in turn and executes its runs. The settings are the environment's."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._stopping = threading.Event()
        self._ticking = threading.Lock()
        self._repository = definitions().get_repository_def()
        self._cursors: dict[str, str] = {}
        self.runs = 0
        self.failed_runs = 0
        self.failed_ticks = 0
        """Ticks that gave no plan: a system was away."""
        self.errors: list[str] = []

    def ledgers(self) -> dict[str, Ledger]:
        """The ledger of each sensor that has ticked."""
        return {name: decode(cursor) for name, cursor in dict(self._cursors).items()}

    def run(self) -> None:
        with dg.DagsterInstance.ephemeral() as instance:
            while not self._stopping.wait(PAUSE_SECONDS):
                for name in SENSORS:
                    try:
                        with self._ticking:
                            self._tick(instance, name)
                    except Exception as error:  # noqa: BLE001 - told by the test
                        self.errors.append(f"{name}: {type(error).__name__}: {error}")

    def _tick(self, instance: dg.DagsterInstance, name: str) -> None:
        context = dg.build_sensor_context(
            instance=instance,
            cursor=self._cursors.get(name),
            repository_def=self._repository,
            resources={"pipeline": Pipeline()},
        )
        tick = SENSORS[name].evaluate_tick(context)
        self.failed_ticks += (tick.skip_message or "").startswith(FAN_OUT)  # our own words
        for request in tick.run_requests or ():
            job = self._repository.get_job(request.job_name)
            result = job.execute_in_process(
                instance=instance,
                run_config=request.run_config,
                tags={**request.tags, "dagster/run_key": request.run_key},
                raise_on_error=False,
            )
            self.runs += 1
            self.failed_runs += not result.success
        if tick.cursor is not None:
            self._cursors[name] = tick.cursor

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Nothing ticks and runs, until left."""
        with self._ticking:
            yield

    def end(self) -> None:
        """Stop after the tick under way."""
        self._stopping.set()
        with suppress(RuntimeError):
            self.join(120)
        assert not self.is_alive()
