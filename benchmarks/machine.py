"""What the numbers depend on: the machine, its disk and the programs' versions."""

import os
import platform
import shutil
import subprocess
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from statistics import median

import psutil

_FSYNCS = 50


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and all below it, of those that ended too.

    A child that ended counts from then on in its parent's ``cutime`` and ``cstime``.
    """
    root = psutil.Process(pid)
    while True:
        try:
            times = [each.cpu_times() for each in (*root.children(recursive=True), root)]
        except psutil.NoSuchProcess:
            if not root.is_running():
                raise
            continue  # a child has just ended: its parent has its time now
        return sum(
            each.user + each.system + each.children_user + each.children_system for each in times
        )


def describe(parent: Path) -> dict[str, object]:
    """Everything a reader of the results has to know about the machine."""
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "file_system": _file_system(parent),
        "fsync_ms": round(fsync_ms(parent), 3),
        "load_average": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "pynetdicom": version("pynetdicom"),
        "dcmtk": _first_line(["storescp", "--version"]),
        "orthanc": _first_line(["Orthanc", "--version"]),
    }


def fsync_ms(folder: Path) -> float:
    """Median time to make 4 KB durable: what the disk costs a receiver that keeps its word."""
    path, times = folder / "fsync-probe", []
    for _ in range(_FSYNCS):
        began = time.perf_counter()
        with path.open("ab") as file:
            file.write(bytes(4096))
            file.flush()
            os.fsync(file.fileno())
        times.append((time.perf_counter() - began) * 1000)
    return median(times)


def _cpu_model() -> str:
    for line in _lines("/proc/cpuinfo"):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _file_system(folder: Path) -> str:
    mounts = (line.split() for line in _lines("/proc/self/mounts"))
    holding = [m for m in mounts if folder.is_relative_to(m[1])]
    return max(holding, key=lambda m: len(m[1]))[2] if holding else "unknown"


def _lines(path: str) -> Iterable[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return ()


def _first_line(command: list[str]) -> str | None:
    program = shutil.which(command[0], path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if program is None:
        return None
    done = subprocess.run([program, *command[1:]], capture_output=True, text=True, check=False)
    return (done.stdout or done.stderr).partition("\n")[0].strip()
