"""Hostile senders by the thousand, reproducible by seed and number.

Ctrl-C ends it early; what was tried until then counts. Exit status 0: every promise was kept.
"""

import argparse
import os
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.fuzz.jobs import Jobs
from benchmarks.fuzz.network import OVERRIDES, NetworkFuzzer
from benchmarks.systems import DicomPipeline

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - a tmpfs: syncs cost nothing there


def main() -> None:
    """Fuzz, check, tell."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fuzz", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--inputs", type=int, default=100_000, help="straight to the receiver's parts"
    )
    parser.add_argument("--network", type=int, default=2000, help="inputs to a real receiver")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--parent", type=Path, help="where objects go for a moment: a tmpfs")
    options = parser.parse_args()
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    console = Console()
    parent = options.parent or (_MEMORY if _MEMORY.is_dir() else None)
    with tempfile.TemporaryDirectory(dir=parent, prefix="fuzz-") as name:
        findings = _in_memory(Path(name), options, interrupted, console)
        if options.network and not findings and not interrupted.is_set():
            findings = _over_the_wire(Path(name), options, interrupted, console)
    for finding in findings:
        console.print(f"- {finding}", highlight=False, markup=False)
    console.print(f"fuzz {'FAILED' if findings else 'PASSED'}")
    sys.exit(bool(findings))


def _in_memory(
    folder: Path, options: argparse.Namespace, interrupted: threading.Event, console: Console
) -> list[str]:
    """Returns the findings."""
    numbers = range(options.first, options.first + options.inputs)
    if not numbers:
        return []
    jobs = Jobs(folder, options.seed, numbers, max(1, min(options.jobs, len(numbers))))
    done, acknowledged, grown = 0, 0, [0]
    ends, findings, began = Counter[str](), list[str](), time.monotonic()
    with _progress(console) as progress:
        task = progress.add_task("in memory", total=len(numbers))
        while (report := jobs.report()) is not None:
            done += report.done
            progress.update(task, completed=done)
            ends += report.ends
            acknowledged += report.acknowledged
            grown.append(report.grown)
            if report.finding:
                findings.append(report.finding)
            if interrupted.is_set():
                jobs.stop()
    seconds = time.monotonic() - began
    _show(ends, console)
    console.print(
        f"{done:,} inputs of seed {options.seed} in {seconds:.0f} s ({done / seconds:.0f}/s), "
        f"{acknowledged:,} objects acknowledged, memory grown by {max(grown) >> 10:,} KiB at most",
        highlight=False,
    )
    return findings


def _over_the_wire(
    folder: Path, options: argparse.Namespace, interrupted: threading.Event, console: Console
) -> list[str]:
    """Returns the findings."""
    numbers = range(options.first, options.first + options.network)
    with DicomPipeline(OVERRIDES).start(folder / "receiver") as server:
        fuzzer, began = NetworkFuzzer(server, options.seed), time.monotonic()
        with _progress(console) as progress:
            task = progress.add_task("over the wire", total=len(numbers))
            for done in fuzzer.run(numbers):
                progress.advance(task, done)
                if interrupted.is_set():
                    break
        seconds = time.monotonic() - began
        findings = fuzzer.check()
    _show(fuzzer.ends, console)
    console.print(
        f"{fuzzer.ends.total():,} inputs of seed {options.seed} in {seconds:.0f} s beside a good "
        f"sender, who had {fuzzer.acknowledged:,} objects acknowledged",
        highlight=False,
    )
    return findings


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _show(ends: Counter[str], console: Console) -> None:
    table = Table(title="how they ended", title_justify="left")
    table.add_column("end")
    table.add_column("inputs", justify="right")
    for end, number in ends.most_common():
        table.add_row(end, f"{number:,}")
    console.print(table)


if __name__ == "__main__":
    main()
