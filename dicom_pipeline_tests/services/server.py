"""What every real server of the tests can suffer: to be stopped, killed, frozen, started again."""

import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from dicom_pipeline.process_tree import die_with_parent

HOST = "127.0.0.1"
_POLL_SECONDS = 0.05


def run_setup(command: Sequence[str | Path], seconds: float, **options: Any) -> None:
    """Run what a server needs before its first start.

    Args:
        command: the program and its arguments.
        seconds: how long it may take.
        options: further ones of `subprocess.run`.

    Raises:
        RuntimeError: it failed; with the end of what it printed.
    """
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
        **options,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stdout[-2000:]}")


class ServerProcess(ABC):
    """A program that serves, as often as it is started; it never outlives the tests.

    Args:
        folder: an empty folder, for its log and whatever else it needs.
    """

    name: str
    start_seconds: float
    """How long it may take to start, and to end."""
    dies_by = signal.SIGTERM
    """What it gets when the tests' process dies."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> Sequence[str]:
        """What to run."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether it serves."""

    def start(self) -> None:
        """Start it, on the same ports and data, and wait until it answers."""
        assert not self.running()
        self._process = self.spawn()
        deadline = time.monotonic() + self.start_seconds
        while not self.answers():
            if not self.running() or time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} did not start: {self.log()[-2000:]}")
            time.sleep(_POLL_SECONDS)

    def spawn(self) -> subprocess.Popen[bytes]:
        """Start the process."""
        with self._log_file.open("ab") as log:
            return subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=partial(die_with_parent, self.dies_by),  # noqa: PLW1509 - one system call, libc is loaded
            )

    def stop(self) -> None:
        """Shut it down in good order (SIGTERM)."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Pull its plug (SIGKILL)."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill it, if it runs, and start it again."""
        self.kill()
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It takes connections and answers nothing (SIGSTOP), until left."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        """What the server has written."""
        return self._log_file.read_text(encoding="utf-8", errors="replace")

    @property
    def _log_file(self) -> Path:
        return self.folder / "log"

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None and self.running():
            self._process.send_signal(how)
            try:
                self._process.wait(self.start_seconds)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
