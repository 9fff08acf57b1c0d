"""Fuzzing in several processes, each with its part of the inputs, watched for what it keeps."""

import logging
import tempfile
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from pathlib import Path
from queue import Empty
from signal import SIG_IGN, SIGINT, signal
from typing import TYPE_CHECKING, Final

import psutil

from benchmarks.fuzz.memory import FoundError, MemoryFuzzer
from receiver.provider import quiet_libraries

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess
    from multiprocessing.queues import Queue

_WARM_UP: Final = 3000
"""Inputs after which caches and pools are filled."""
_MORE_RSS: Final = 16 << 20
_POLL_SECONDS: Final = 0.5


@dataclass
class Report:
    """What a job tells: at intervals, and at its end."""

    done: int = 0
    """Inputs since the last report."""
    ended: bool = False
    ends: Counter[str] = field(default_factory=Counter)
    acknowledged: int = 0
    grown: int = 0
    """Bytes of resident memory between the warm-up and the end."""
    finding: str = ""
    """A traceback, if a promise was not kept."""


class Level:
    """What this process holds, compared with what it held when this was made."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._descriptors, self._rss = self._held()

    def grown(self) -> int:
        """Bytes of resident memory since.

        Raises:
            FoundError: too many, or more descriptors.
        """
        descriptors, rss = self._held()
        more = rss - self._rss
        if descriptors > self._descriptors or more > _MORE_RSS:
            raise FoundError(
                f"{descriptors - self._descriptors} more descriptors, {more >> 20} MiB more"
            )
        return more

    def _held(self) -> tuple[int, int]:
        return self._process.num_fds(), self._process.memory_info().rss


class Jobs:
    """The processes. They end with their inputs, with the first finding, or when told to."""

    def __init__(self, folder: Path, seed: int, numbers: range, count: int) -> None:
        """Start ``count`` processes that store in ``folder``."""
        context = get_context("spawn")
        self._reports: Queue[Report] = context.Queue()
        self._stop: Event = context.Event()
        size = -(-len(numbers) // count)
        parts = [numbers[start : start + size] for start in range(0, len(numbers), size)]
        self._processes: list[SpawnProcess] = [
            context.Process(
                target=_run, args=(folder, seed, part, self._reports, self._stop), daemon=True
            )
            for part in parts
        ]
        for process in self._processes:
            process.start()
        self._running = len(self._processes)

    def report(self) -> Report | None:
        """The next one, empty if there is none for a moment; None: all have ended."""
        if not self._running:
            return None
        try:
            report = self._reports.get(timeout=_POLL_SECONDS)
        except Empty:
            if any(process.is_alive() for process in self._processes):
                return Report()
            self._running = 0
            return Report(finding="a job has died without a word")
        if report.ended:
            self._running -= 1
        return report

    def stop(self) -> None:
        """Let all come to their end soon."""
        self._stop.set()


def _run(folder: Path, seed: int, numbers: range, reports: "Queue[Report]", stop: Event) -> None:
    signal(SIGINT, SIG_IGN)  # Ctrl-C is the parent's to tell
    logging.disable()
    warnings.simplefilter("ignore")  # pydicom tells what it does about odd bytes
    quiet_libraries()
    report = Report(ended=True)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        fuzzer = MemoryFuzzer(Path(own), seed)
        try:
            report.grown = _fuzz(fuzzer, numbers, reports, stop)
        except Exception:  # noqa: BLE001 - whatever it is, it is what was looked for
            report.finding = traceback.format_exc()
            stop.set()
        finally:
            fuzzer.stop()
    report.ends, report.acknowledged = fuzzer.ends, fuzzer.acknowledged
    reports.put(report)


def _fuzz(fuzzer: MemoryFuzzer, numbers: range, reports: "Queue[Report]", stop: Event) -> int:
    """Returns by how many bytes the process has grown."""
    level = None
    for part in (numbers[:_WARM_UP], numbers[_WARM_UP:]):
        for done in fuzzer.run(part):
            reports.put(Report(done=done))
            if stop.is_set():
                return level.grown() if level else 0
        level = level or Level()
    assert level is not None
    return level.grown()
