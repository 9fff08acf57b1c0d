"""Who sends: our load generator, or DCMTK's storescu as every modality simulator uses it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.generator import Plan, Result
from benchmarks.systems import REPOSITORY, Server
from benchmarks.template import Template, patch, uids

GENERATORS: Final = 2
"""Processes of the fast sender, at most."""
_TIMEOUT_SECONDS: Final = 600
_START_DELAY: Final = 0.1
"""Between the word and the start, so that every process has heard it."""


class SendError(Exception):
    """A sender failed; its objects were not all acknowledged."""


@dataclass(frozen=True)
class Load:
    """What one run sends."""

    template: Template
    file: Path
    """The template for generator processes."""
    associations: int
    objects: int
    """Per run at most; 0: no limit."""
    seconds: float
    """Of sending; 0: no limit. Only the fast sender can heed it."""
    first_association: int = 0
    """Number that the first association's UIDs are made of."""


@dataclass
class Sent:
    """What one run measured."""

    objects: int
    """Within the clock."""
    warm_up: int
    """Before it."""
    seconds: float
    cpu_seconds: float
    """Of the senders."""
    latencies_us: list[int] = field(default_factory=list)


def send_fast(server: Server, load: Load, warm_up: int, clock_starts: Callable[[], None]) -> Sent:
    """Raw sockets, everything encoded beforehand; ``clock_starts`` is called just before."""
    count = min(GENERATORS, load.associations)
    shares = [load.associations // count + (n < load.associations % count) for n in range(count)]
    processes = [
        _generator(
            Plan(
                template=str(load.file),
                port=server.port,
                called=server.called,
                first_association=load.first_association + sum(shares[:n]),
                associations=share,
                warm_up=warm_up,
                objects=-(-load.objects // load.associations),
                seconds=load.seconds,
            )
        )
        for n, share in enumerate(shares)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            if process.stdout.readline().strip() != "ready":
                raise SendError(f"{server.name}: a generator could not associate")
        clock_starts()
        start = time.monotonic() + _START_DELAY
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(f"{start}\n")
            process.stdin.flush()
        outputs = [process.communicate(timeout=_TIMEOUT_SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    results = [Result(**json.loads(output)) for output in outputs]
    if errors := [error for result in results for error in result.errors]:
        raise SendError(f"{server.name}: {'; '.join(errors)}")
    latencies = [latency for result in results for latency in result.latencies_us]
    return Sent(
        objects=len(latencies),
        warm_up=warm_up * load.associations,
        seconds=max(result.end for result in results) - start,
        cpu_seconds=sum(result.cpu_seconds for result in results),
        latencies_us=latencies,
    )


def _generator(plan: Plan) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.generator", json.dumps(asdict(plan))],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def send_storescu(
    server: Server, folders: Sequence[Path], clock_starts: Callable[[], None]
) -> Sent:
    """One storescu for each folder, all at once; association set-up is within the clock."""
    objects = sum(1 for folder in folders for _ in folder.iterdir())
    before = os.times()
    clock_starts()
    start = time.monotonic()
    processes = [
        subprocess.Popen(
            ["storescu", "-aec", server.called, "+sd", "127.0.0.1", str(server.port), folder],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    told = [process.communicate(timeout=_TIMEOUT_SECONDS)[1] for process in processes]
    seconds = time.monotonic() - start
    after = os.times()
    if any(process.returncode for process in processes):
        raise SendError(f"{server.name}: storescu failed: {' '.join(told)[-1000:]}")
    cpu = (after.children_user + after.children_system) - (
        before.children_user + before.children_system
    )
    return Sent(objects=objects, warm_up=0, seconds=seconds, cpu_seconds=cpu)


def write_folders(
    template: Template, parent: Path, count: int, objects: int, first_association: int = 0
) -> list[Path]:
    """Part 10 files for ``count`` processes of storescu, ``objects`` of them in all."""
    content = bytearray(template.head + template.data_set)
    offsets = template.offsets(bytes(content))
    folders = []
    for index in range(count):
        folder = parent / str(index)
        folder.mkdir(parents=True)
        for number in range(-(-objects // count)):
            patch(content, offsets, uids(first_association + index, number))
            (folder / f"{number:06d}.dcm").write_bytes(content)
        folders.append(folder)
    return folders
