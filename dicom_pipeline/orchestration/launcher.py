"""A run launcher that notices when the process of a run is gone.

Dagster's default launcher starts each run in a process of its own but has no health check: a run
whose process was killed would stay "started" for ever and hold its place in every limit. With
this one, Dagster's run monitoring fails such a run, and the sensor asks for its range again.
"""

from collections.abc import Iterator
from typing import Final

import psutil
from dagster import DagsterEventType, DagsterInstance, DagsterRun, DefaultRunLauncher
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

_CLOCK_SLACK_SECONDS: Final = 2.0
"""A process started this much later than the run's event is another one with the same id."""


class SupervisedRunLauncher(DefaultRunLauncher):
    """The default launcher with a health check of the run's process on this machine."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether one of the processes that reported for this run is alive."""
        processes = list(_reported_processes(self._instance, run.run_id))
        if not processes:
            return CheckRunHealthResult(WorkerStatus.UNKNOWN, "no process has reported")
        if any(_is_alive(pid, reported) for pid, reported in processes):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        gone = ", ".join(str(pid) for pid, _ in processes)
        return CheckRunHealthResult(WorkerStatus.FAILED, f"process {gone} is gone")


def _reported_processes(instance: DagsterInstance, run_id: str) -> Iterator[tuple[int, float]]:
    """Process id and time (seconds since the epoch) of each process that spoke for the run."""
    for entry in instance.all_logs(run_id, of_type=DagsterEventType.ENGINE_EVENT):
        event = entry.dagster_event
        pid = event.engine_event_data.metadata.get("pid") if event else None
        if pid is not None:
            yield int(str(pid.value)), entry.timestamp


def _is_alive(pid: int, reported: float) -> bool:
    try:
        process = psutil.Process(pid)
        return (
            process.status() != psutil.STATUS_ZOMBIE
            and process.create_time() <= reported + _CLOCK_SLACK_SECONDS
        )
    except psutil.NoSuchProcess:
        return False
