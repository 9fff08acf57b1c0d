"""How fast renditions are made, in how much memory: `python -m benchmarks.transcoding --help`."""

import argparse
import json
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Final

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.codec_time import codec_time
from benchmarks.images import SOURCES, Source, make, make_large
from dicom_pipeline.imaging.outcomes import Action, Outcome
from dicom_pipeline.imaging.transcode import LargeObject, render
from dicom_pipeline.stages.conversions import Conversion, Result, Task, convert
from dicom_pipeline.stages.large_objects import convert_in_parts
from dicom_pipeline.workers import LimitedPool

RESULTS: Final = Path(__file__).parent / "results" / "transcoding.json"
PROCESSES: Final = (1, 2)
_MEMORY: Final = 4 << 30
_SECONDS: Final = 300.0
_SAMPLED_EVERY: Final = 0.05
_LIBRARIES: Final = ("imagecodecs", "pylibjpeg-openjpeg", "pyjpegls", "python-gdcm", "pydicom")


@dataclass(frozen=True)
class Measured:
    """Medians for one kind of object."""

    source: str
    work: str
    """``verify``: kept, and decoded in full; ``convert``: to JPEG-LS, and read back."""
    mb_per_s: dict[int, float]
    """Uncompressed pixels a second, by number of processes."""
    cpu_ms_per_mb: float
    codec_share: float
    """Of the CPU time of one process."""


@dataclass(frozen=True)
class Large:
    """One object of many frames."""

    pixel_bytes: int
    frames: int
    processes: int
    seconds: float
    mb_per_s: float
    worker_peak_bytes: int
    """Unique set size of the largest worker process."""
    own_peak_bytes: int
    """The same of the process that puts the frames together, with the benchmark itself."""


def measure(source: Source, work: str, folder: Path, objects: int, runs: int) -> Measured:
    """The medians of some runs over ``objects`` objects of one kind."""
    path = folder / "source.dcm"
    size = make(path, source, converted=work == "convert")
    targets = [folder / f"{number}.dcm" for number in range(objects)]
    rates: dict[int, list[float]] = {processes: [] for processes in PROCESSES}
    costs, shares = [], []
    _check(render(path, targets[0]), work)
    for _ in range(runs):
        for processes, taken in rates.items():
            with _pool(processes) as pool:
                list(pool.map([Conversion(path, targets[0])] * processes))  # has them started
                began = time.perf_counter()
                for result in pool.map([Conversion(path, target) for target in targets]):
                    _check(result, work)
                taken.append(objects * size / 1e6 / (time.perf_counter() - began))
        with codec_time() as codec:
            spent = time.process_time()
            for target in targets:
                render(path, target)
            spent = time.process_time() - spent
        costs.append(1000 * spent / (objects * size / 1e6))
        shares.append(codec.seconds / spent)
    return Measured(
        source.name,
        work,
        {processes: round(median(taken), 1) for processes, taken in rates.items()},
        round(median(costs), 2),
        round(median(shares), 3),
    )


def _pool(processes: int) -> LimitedPool[Task, Result]:
    return LimitedPool(convert, processes=processes, memory_bytes=_MEMORY, seconds=_SECONDS)


def _check(result: object, work: str) -> None:
    wanted = Action.KEEP if work == "verify" else Action.TRANSCODE
    if not isinstance(result, Outcome) or result.action is not wanted:
        sys.exit(f"not what was to be measured: {result}")


def measure_large(folder: Path, frames: int, processes: int) -> Large:
    """Convert one object of 2 MiB a frame in parts."""
    path, target = folder / "large.dcm", folder / "copy.dcm"
    size = make_large(path, frames)
    conversion = Conversion(path, target)
    with _pool(processes) as pool, _peaks() as peaks:
        began = time.perf_counter()
        (found,) = pool.map([conversion])
        if not isinstance(found, LargeObject):
            sys.exit(f"not a large object: {found}")
        _check(convert_in_parts(pool, conversion, found, "1.2.3"), "convert")
        seconds = time.perf_counter() - began
    own = peaks.pop(psutil.Process().pid)
    target.unlink()
    path.unlink()
    return Large(
        size,
        frames,
        processes,
        round(seconds, 1),
        round(size / 1e6 / seconds, 1),
        max(peaks.values()),
        own,
    )


@contextmanager
def _peaks() -> Iterator[dict[int, int]]:
    """The highest unique set size of this process and of all below it, by PID."""
    peaks: dict[int, int] = {}
    ended = threading.Event()

    def sample() -> None:
        me = psutil.Process()
        while not ended.wait(_SAMPLED_EVERY):
            for process in (me, *me.children(recursive=True)):
                try:
                    used = process.memory_full_info().uss
                except psutil.NoSuchProcess:
                    continue
                peaks[process.pid] = max(peaks.get(process.pid, 0), used)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield peaks
    finally:
        ended.set()
        thread.join()


def show(rows: Sequence[Measured], large: Large | None, console: Console) -> None:
    """A table of the rows, and a line on the large object."""
    table = Table(title="Renditions: medians", title_justify="left")
    for name in ("source", "work"):
        table.add_column(name)
    for name in ("MB/s, 1 process", "MB/s, 2", "× 1", "CPU ms/MB", "codec"):
        table.add_column(name, justify="right")
    for row in rows:
        one, two = (row.mb_per_s[processes] for processes in PROCESSES)
        table.add_row(
            row.source,
            row.work,
            f"{one:.1f}",
            f"{two:.1f}",
            f"{two / one:.2f}",
            f"{row.cpu_ms_per_mb:.2f}",
            f"{row.codec_share:.0%}",
        )
    console.print(table)
    if large:
        console.print(
            f"{large.frames} frames, {large.pixel_bytes / 1e6:.0f} MB of pixels, "
            f"{large.processes} processes: {large.seconds} s, {large.mb_per_s} MB/s; at most "
            f"{large.worker_peak_bytes / 1e6:.0f} MB in a worker and "
            f"{large.own_peak_bytes / 1e6:.0f} MB where the frames come together"
        )


def main() -> None:
    """Run what the command line asks for."""
    names = [source.name for source in SOURCES]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.transcoding", description=__doc__)
    parser.add_argument("--objects", type=int, default=30, help="of a run (30)")
    parser.add_argument("--runs", type=int, default=3, help="of each kind (3)")
    parser.add_argument("--sources", default=";".join(names), help=f"some of: {'; '.join(names)}")
    parser.add_argument("--large-frames", type=int, default=1000, help="0: no large object (1000)")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument(
        "--parent", type=Path, default=Path(__file__).parent.parent, help="where the objects go"
    )
    options = parser.parse_args()
    chosen = [source for source in SOURCES if source.name in options.sources.split(";")]
    console = Console(width=None if sys.stdout.isatty() else 120)
    rows: list[Measured] = []
    with tempfile.TemporaryDirectory(dir=options.parent, prefix=".bench-") as name:
        folder = Path(name).resolve()
        told = machine.describe(folder) | {library: version(library) for library in _LIBRARIES}
        for source in chosen:
            rows += [
                measure(source, work, folder, options.objects, options.runs)
                for work in (("verify", "convert") if source.kept else ("convert",))
            ]
        frames = options.large_frames
        large = measure_large(folder, frames, max(PROCESSES)) if frames else None
    show(rows, large, console)
    content = {
        "rows": [asdict(row) for row in rows],
        "large": asdict(large) if large else None,
        "machine": told,
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    console.print(f"written: {options.json}")


if __name__ == "__main__":
    main()
