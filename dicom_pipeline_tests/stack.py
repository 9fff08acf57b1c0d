"""The whole group of `dicom-pipeline up`, for tests of the flow from end to end."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil

from dicom_pipeline.cli.progress import manifests_due, messages_left
from dicom_pipeline.cli.stack_info import StackInfo
from dicom_pipeline.cli.stack_process import StackProcess
from dicom_pipeline.cli.status import Status, read_status
from dicom_pipeline.settings import Settings

START_SECONDS = 120
FRUGAL = {"stream_ranges_in_flight": 1, "worker_processes": 1}
"""Few runs of few processes: each costs seconds of CPU time, which tests beside this one need."""


class RunningStack:
    """Starts the group on free ports when entered, and stops all of it when left.

    Args:
        home: the home folder; may be one that was used before.
        options: options of `up`.
        wait: whether to wait until every part is ready.
        settings: further settings by their field names, e.g. ``stream_tick_seconds=5``; they
            override `FRUGAL`.
    """

    def __init__(self, home: Path, *options: str, wait: bool = True, **settings: object) -> None:
        settings = {**FRUGAL, **settings}
        self.settings = Settings(dicom_pipeline_home=home, **settings)
        environment = {name.upper(): str(value) for name, value in settings.items()}
        ports = {"RECEIVER_PORT": "0", "UI_PORT": "0", "VIEWER_PORT": "0"}
        self._group = StackProcess(self.settings, {**ports, **environment}, *options)
        self._wait = wait

    def __enter__(self) -> Self:
        self._group.start()
        try:
            if self._wait:
                self.wait_until_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def info(self) -> StackInfo:
        return self._group.info

    @property
    def pid(self) -> int:
        """The process id of the supervisor."""
        return self.info.pid

    @property
    def receiver_port(self) -> int:
        return self.info.receiver_port

    def pids(self) -> dict[str, int]:
        """The process id of each part."""
        return self.info.parts

    def processes(self) -> list[psutil.Process]:
        """Supervisor, its keeper, the parts, and all that they started."""
        keeper = psutil.Process(self.pid).parent()
        assert keeper is not None
        return [keeper, *keeper.children(recursive=True)]

    def kill(self, part: str) -> int:
        """SIGKILL a part; returns the process id that it had."""
        pid = self.pids()[part]
        os.kill(pid, signal.SIGKILL)
        return pid

    def wait_until(self, reached: Callable[[StackInfo], bool], timeout: float) -> StackInfo:
        return self._group.wait_until(reached, timeout)

    def wait_until_ready(self, timeout: float = START_SECONDS) -> StackInfo:
        return self._group.wait_until(lambda info: info.ready, timeout)

    def wait_until_restarted(self, part: str, old_pid: int, timeout: float = 60) -> StackInfo:
        return self._group.wait_until(
            lambda info: info.ready and info.parts.get(part, old_pid) != old_pid, timeout
        )

    def status(self) -> Status:
        return read_status(self.settings)

    def left(self) -> dict[str, int]:
        """Events in the outbox, and messages that each stage has not processed."""
        return messages_left(self.settings)

    def wait_until_caught_up(self, timeout: float) -> None:
        """Wait until nothing is left in the outbox or any queue."""
        deadline = time.monotonic() + timeout
        while any((left := self.left()).values()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {timeout} s these are left: {left}")
            time.sleep(0.5)

    def wait_until_manifests_are_written(self, timeout: float) -> None:
        """Wait until no study is marked."""
        deadline = time.monotonic() + timeout
        while due := manifests_due(self.settings):
            if time.monotonic() > deadline:
                raise TimeoutError(f"after {timeout} s {due} manifests are due")
            time.sleep(0.5)

    def stop(self) -> int:
        """Stop the group; returns the exit code of `up`."""
        return self._group.stop()
