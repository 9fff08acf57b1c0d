"""The group as a child process: what `demo` and tests use."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from dicom_pipeline.cli.exits import OK
from dicom_pipeline.cli.stack_info import StackInfo, read_info
from dicom_pipeline.errors import PipelineError
from dicom_pipeline.process_tree import die_with_parent
from dicom_pipeline.settings import Settings
from dicom_pipeline.supervisor import STEP_SECONDS

_UP: Final = "from dicom_pipeline.cli import main; main()"


class StackProcess:
    """Starts `up` and knows where it is.

    Args:
        settings: only ``home`` matters here.
        environment: settings for the group, as environment variables.
        options: options of `up`.
    """

    def __init__(self, settings: Settings, environment: dict[str, str], *options: str) -> None:
        self._settings = settings
        self._environment = {"DICOM_PIPELINE_HOME": str(settings.home), **environment}
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        """What `up` says."""
        return self._settings.home / "logs" / "up.log"

    @property
    def info(self) -> StackInfo:
        """Where the group is.

        Raises:
            PipelineError: it has ended, or has not described itself yet.
        """
        info = self._own_info()
        if info is None:
            raise PipelineError(f"the group does not run: {self._said()}")
        return info

    def _own_info(self) -> StackInfo | None:
        """What our own group says of itself, not another one on the same home."""
        info = read_info(self._settings)
        ours = self._process is not None and info is not None and info.keeper == self._process.pid
        return info if ours else None

    def start(self) -> None:
        """Start the group, without waiting for it. It ends with the thread that calls this."""
        self._settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.log.parent.mkdir(mode=0o700, exist_ok=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-c", _UP, "up", *self._options],
                env={**os.environ, **self._environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, libc is loaded
            )

    def running(self) -> bool:
        """Whether the group's process is there."""
        return self._process is not None and self._process.poll() is None

    def check(self) -> None:
        """Raise a `PipelineError` with the group's last words if it has ended."""
        if not self.running():
            raise PipelineError(f"the group has ended: {self._said()}")

    def wait_until(self, reached: Callable[[StackInfo], bool], timeout: float) -> StackInfo:
        """Wait for a state of the group.

        Raises:
            PipelineError: the group ended or took too long; the message says what it said.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            info = self._own_info()
            if info is not None and reached(info):
                return info
            self.check()
            time.sleep(STEP_SECONDS)
        raise PipelineError(f"not ready after {timeout:.0f} s: {self._said()}")

    def stop(self, grace_seconds: float = 30) -> int:
        """SIGTERM; after the grace a supervisor that hangs is killed, its keeper ends the rest."""
        if self._process is None:
            return OK
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(grace_seconds)
        info = self._own_info()
        if info is not None:
            with suppress(ProcessLookupError):
                os.kill(info.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(grace_seconds)
        self._process.kill()
        return self._process.wait()

    def _said(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it said nothing (see {self.log.parent})"
