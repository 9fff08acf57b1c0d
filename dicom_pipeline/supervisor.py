"""A group of programs that run as one: started in order, restarted when they die, stopped together.

One thread, no callbacks: `Supervisor.step` looks once at every part and is called a few times a
second. Each part writes straight into its own log file, so that a part never waits on its
supervisor.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from dicom_pipeline.errors import PipelineError
from dicom_pipeline.process_tree import descendants, die_with_parent, end

STEP_SECONDS: Final = 0.1
BACKOFF_SECONDS: Final = 1.0
BACKOFF_MAX_SECONDS: Final = 8.0
STEADY_SECONDS: Final = 60.0
"""A part that stood this long starts its back-off anew."""
START_ATTEMPTS: Final = 3
"""A part that dies this often before it was ever ready stops the group."""
CONFIGURATION_EXIT: Final = 2
"""Exit code of a part that cannot run with the settings it has: no use to try again."""
LOG_BYTES: Final = 32 << 20
"""A part's log is moved to ``<part>.log.1`` when it grows beyond this."""
_TAIL_BYTES: Final = 4096


class PartFailedError(PipelineError):
    """A part of the group cannot be started."""


@dataclass(frozen=True)
class Part:
    """One program of the group."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """Added to the environment of the supervisor."""
    ready: Callable[[], bool] = lambda: True
    """Whether the part, which is running, does its work. Must return soon."""
    after: tuple[str, ...] = ()
    """Parts that must have been ready before this one is started for the first time."""
    may_start: Callable[[], bool] = lambda: True
    """Whether what it needs from outside is there. Must return soon."""


@dataclass
class _Running:
    part: Part
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    not_before: float = 0.0
    deaths: int = 0
    """In a row, without a steady time between them."""
    restarts: int = 0
    ready: bool = False
    was_ready: bool = False


class Supervisor:
    """Keeps the parts of a group running.

    Args:
        parts: what to run; started in this order, stopped in the opposite one.
        logs: folder of the log files, ``<part>.log``.
        say: takes the few lines that a person should see.
        now: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        logs: Path,
        *,
        say: Callable[[str], None] = lambda _: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = {part.name: _Running(part) for part in parts}
        self._logs = logs
        self._say = say
        self._now = now
        logs.mkdir(parents=True, exist_ok=True)

    def step(self) -> None:
        """Look at each part once: start, restart, or note that it is ready.

        Raises:
            PartFailedError: a part died too often before it was ever ready.
        """
        for running in self._parts.values():
            if running.process is None:
                if self._may_start(running):
                    self._try_to_start(running)
            elif running.process.poll() is not None:
                self._died(running, running.process.returncode)
            elif not running.ready and running.part.ready():
                running.ready = running.was_ready = True
            self._turn_over(running.part.name)

    @property
    def ready(self) -> bool:
        """Whether every part runs and is ready."""
        return all(running.ready for running in self._parts.values())

    def has(self, name: str) -> bool:
        """Whether the group has such a part."""
        return name in self._parts

    def pids(self) -> dict[str, int]:
        """The process id of each part that runs."""
        return {
            name: running.process.pid
            for name, running in self._parts.items()
            if running.process is not None and running.process.poll() is None
        }

    def waiting_for(self) -> list[str]:
        """The parts that are not ready."""
        return [name for name, running in self._parts.items() if not running.ready]

    def log_file(self, name: str) -> Path:
        """Where a part's output goes."""
        return self._logs / f"{name}.log"

    def stop(self, grace_seconds: float = 10) -> None:
        """End every part and all that they started: SIGTERM, then SIGKILL after the grace."""
        running = [one.process for one in reversed(self._parts.values()) if one.process is not None]
        tree = descendants(process.pid for process in running if process.poll() is None)
        for process in running:
            if process.poll() is None:
                process.terminate()
        deadline = self._now() + grace_seconds
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - self._now()))
        end(tree, 1.0)
        for process in running:
            process.wait()
        for one in self._parts.values():
            one.process, one.ready = None, False

    def _may_start(self, running: _Running) -> bool:
        return (
            self._now() >= running.not_before
            and all(self._parts[name].was_ready for name in running.part.after)
            and running.part.may_start()
        )

    def _try_to_start(self, running: _Running) -> None:
        try:
            self._start(running)
        except OSError as error:  # no memory, no disk: the other parts go on
            if not running.was_ready:
                raise
            running.not_before = self._now() + BACKOFF_MAX_SECONDS
            self._say(f"{running.part.name} cannot be started now: {error.strerror}")

    def _start(self, running: _Running) -> None:
        part = running.part
        with self.log_file(part.name).open("ab") as log:
            running.process = subprocess.Popen(  # noqa: S603 - commands of our own
                part.command,
                env={**os.environ, **part.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, libc is loaded
            )
        running.started = self._now()

    def _died(self, running: _Running, code: int) -> None:
        name = running.part.name
        if self._now() - running.started >= STEADY_SECONDS:
            running.deaths = 0
        running.deaths += 1
        running.restarts += 1
        running.process, running.ready = None, False
        hopeless = code == CONFIGURATION_EXIT or running.deaths >= START_ATTEMPTS
        if hopeless and not running.was_ready:
            raise PartFailedError(
                f"{name} cannot be started ({_ending(code)}): {self._last_line(name)} "
                f"[whole output: {self.log_file(name)}]"
            )
        pause = min(BACKOFF_SECONDS * 2 ** (running.deaths - 1), BACKOFF_MAX_SECONDS)
        running.not_before = self._now() + pause
        if _worth_saying(running.deaths):
            self._say(
                f"{name} ended ({_ending(code)}); starting it again in {pause:.0f} s "
                f"[death {running.deaths} in a row, see {self.log_file(name)}]"
            )

    def _last_line(self, name: str) -> str:
        with self.log_file(name).open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _turn_over(self, name: str) -> None:
        """Keep a log within bounds; its writer appends, so it goes on in the emptied file."""
        path = self.log_file(name)
        with contextlib.suppress(OSError):  # a full disk must not end the group
            if path.stat().st_size > LOG_BYTES:
                path.with_suffix(".log.1").write_bytes(path.read_bytes())
                os.truncate(path, 0)


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"


def _worth_saying(deaths: int) -> bool:
    """The first deaths one by one, then at every doubling: bounded noise."""
    return deaths & (deaths - 1) == 0
