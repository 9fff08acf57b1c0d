"""Good and bad senders against the receiver for a long time: `python -m benchmarks.soak --help`.

Ctrl-C ends it early; what was sent until then is checked all the same. Exit status 0: every
promise was kept.
"""

import argparse
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from benchmarks.loads import LOADS
from benchmarks.soak_senders import SENDERS, TIMEOUT_SECONDS, Budget, World, keep_sending
from benchmarks.systems import REPOSITORY, DicomPipeline, found, pipeline
from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.messages import STORAGE_QUEUE, OffsetRange, decode_event
from dicom_pipeline.storage import unfinished

_OVERRIDES: Final = {
    "RECEIVER_MAX_ASSOCIATIONS": "64",
    "RECEIVER_REQUEST_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
    "RECEIVER_NETWORK_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
    "RECEIVER_IDLE_TIMEOUT_SECONDS": str(TIMEOUT_SECONDS),
}
_WARM_UP_SECONDS: Final = 15.0
"""After it the levels are taken that the end is compared with: pools and caches are filled."""
_CALM_SECONDS: Final = 60.0
_DELIVERY_SECONDS: Final = 120.0
_SENDERS_END_SECONDS: Final = 120.0
_MORE_THREADS: Final = 2
_MORE_DESCRIPTORS: Final = 4
_MORE_RSS: Final = 64 << 20
_SHOWN_FAILURES: Final = 10


@dataclass(frozen=True)
class Level:
    """What the receiver's process tree holds."""

    threads: int
    descriptors: int
    rss: int

    def near(self, other: "Level") -> bool:
        """Whether this is no more than the other, but for what is allowed."""
        return (
            self.threads <= other.threads + _MORE_THREADS
            and self.descriptors <= other.descriptors + _MORE_DESCRIPTORS
            and self.rss <= other.rss + _MORE_RSS
        )

    def __str__(self) -> str:
        return f"{self.threads} threads, {self.descriptors} descriptors, {self.rss >> 20} MiB"


def level(pid: int) -> Level:
    """Of a process and all below it; nothing once it has ended."""
    try:
        root = psutil.Process(pid)
        tree = (root, *root.children(recursive=True))
        return Level(
            sum(each.num_threads() for each in tree),
            sum(each.num_fds() for each in tree),
            sum(each.memory_info().rss for each in tree),
        )
    except psutil.NoSuchProcess:
        return Level(0, 0, 0)


def main() -> None:
    """Soak, check, tell."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soak", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--gigabytes", type=float, default=16, help="of objects in all")
    parser.add_argument("--variant", default="", help="public, queued, NAME=VALUE+NAME=VALUE")
    parser.add_argument("--parent", type=Path, default=REPOSITORY, help="where the objects go")
    options = parser.parse_args()
    interrupted = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: interrupted.set())
    console = Console()
    with tempfile.TemporaryDirectory(dir=options.parent, prefix=".bench-") as name:
        folder = Path(name).resolve()
        with pipeline(options.variant, _OVERRIDES).start(folder / "receiver") as server:
            world = World(
                server,
                {load: make() for load, make in LOADS.items()},
                folder / "files",
                Budget(int(options.gigabytes * 1e9), 60 * options.minutes),
            )
            findings = _soak(world, 60 * options.minutes, interrupted, console)
        findings += _told(server)
        verdict = "PASSED" if not findings else "FAILED"
        _show(world, console)
    for finding in findings:
        console.print(f"- {finding}", highlight=False, markup=False)
    console.print(f"soak {verdict}")
    sys.exit(bool(findings))


def _soak(
    world: World, seconds: float, interrupted: threading.Event, console: Console
) -> list[str]:
    """Everything that needs the running receiver; returns the findings."""
    console.print("warming up", highlight=False)
    _send(world, min(_WARM_UP_SECONDS, seconds / 4), interrupted)
    first = _calm(world.server.pid, None)
    if not interrupted.is_set():
        with Progress(
            TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), console=console
        ) as progress:
            _send(world, seconds, interrupted, progress)
    last = _calm(world.server.pid, first)
    if not world.server.running:
        return [*_failures(world), "the receiver's process has ended"]
    console.print(f"before: {first}\nafter:  {last}", highlight=False)
    findings = _failures(world)
    if not last.near(first):
        findings.append(f"not back to its level: {first} before, {last} after")
    return findings + undelivered(world.server, world.acknowledged, _DELIVERY_SECONDS)


def _send(
    world: World, seconds: float, interrupted: threading.Event, progress: Progress | None = None
) -> None:
    """Let every sender work for a while."""
    world.stop.clear()
    names = [name for name, (_, threads) in SENDERS.items() for _ in range(threads)]
    if found("storescu") is None:
        names.remove("storescu")
    threads = [
        threading.Thread(target=keep_sending, args=(world, name, seed), daemon=True)
        for seed, name in enumerate(names)
    ]
    for thread in threads:
        thread.start()
    task = progress.add_task("soaking", total=seconds) if progress else None
    start = time.monotonic()
    while (spent := time.monotonic() - start) < seconds and not interrupted.wait(1):
        if not world.server.running:
            break
        if progress and task is not None:
            progress.update(
                task,
                completed=spent,
                description=f"{len(world.acknowledged)} acknowledged, "
                f"{len(world.failures)} failures, {level(world.server.pid)}",
            )
    world.stop.set()
    deadline = time.monotonic() + _SENDERS_END_SECONDS
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if any(thread.is_alive() for thread in threads):
        world.failures.append("a sender did not come to its end")


def _calm(pid: int, wanted: Level | None) -> Level:
    """The lowest level that the receiver comes to without senders."""
    deadline = time.monotonic() + (_CALM_SECONDS if wanted else 2 * TIMEOUT_SECONDS)
    while True:
        now = level(pid)
        if (wanted and now.near(wanted)) or time.monotonic() > deadline:
            return now
        time.sleep(1)


def _failures(world: World) -> list[str]:
    told = world.failures[:_SHOWN_FAILURES]
    if more := len(world.failures) - len(told):
        told.append(f"and {more} more failures of senders")
    return told


def undelivered(server: DicomPipeline, acknowledged: Iterable[str], seconds: float) -> list[str]:
    """What was acknowledged must have its event soon, and each event its whole file."""
    settings = server.settings
    wanted = set(acknowledged)
    deadline = time.monotonic() + seconds
    while True:
        sizes = _events(server)
        missing = wanted - {uid for uid, _ in sizes}
        if not missing or time.monotonic() > deadline:
            break
        time.sleep(1)
    findings = [f"no event: {uid}" for uid in sorted(missing)[:_SHOWN_FAILURES]]
    files = ((settings.storage / path, size) for (_, path), size in sizes.items())
    broken = [file for file, size in files if not file.exists() or file.stat().st_size != size]
    findings += [f"no file, or not whole: {file}" for file in broken[:_SHOWN_FAILURES]]
    if left := list(unfinished(settings.storage)):
        findings.append(f"{len(left)} objects still in incoming/")
    return findings


def _events(server: DicomPipeline) -> dict[tuple[str, str], int]:
    """File size by SOP Instance UID and path."""
    found_events = {}
    with open_event_log(server.settings) as log:
        topic_id = log.topic_id(STORAGE_QUEUE)
        for partition, mark in log.watermarks(STORAGE_QUEUE).items():
            offsets = OffsetRange(STORAGE_QUEUE, topic_id, partition, mark.low, mark.high)
            for record in log.read(offsets):
                event = decode_event(record.value)
                found_events[event.sop_uid, event.file_path] = event.file_size
    return found_events


def _told(server: DicomPipeline) -> list[str]:
    """Lines of the log that no sender may cause, and the exit status."""
    log = (server.folder / "log.txt").read_text(errors="replace").splitlines()
    bad = [line for line in log if "Traceback" in line or " CRITICAL " in line]
    findings = [f"log: {line}" for line in bad[:_SHOWN_FAILURES]]
    if server.process is not None and server.process.returncode:
        findings.append(f"the receiver ended with status {server.process.returncode}")
    return findings


def _show(world: World, console: Console) -> None:
    table = Table(title="rounds", title_justify="left")
    table.add_column("sender")
    table.add_column("rounds", justify="right")
    for name in SENDERS:
        table.add_row(name, str(world.rounds[name]))
    console.print(table)
    console.print(f"{len(world.acknowledged)} objects acknowledged", highlight=False)


if __name__ == "__main__":
    main()
