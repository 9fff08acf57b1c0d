"""What the receiver keeps in memory: `python -m benchmarks.receiver_memory --help`.

Many associations at a time, and one object far larger than any buffer. Resident set size (RSS) of
the whole process tree.
"""

import argparse
import json
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final, Self

import psutil
from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.loads import ct
from benchmarks.receiver import RESULTS
from benchmarks.senders import Load, send_fast
from benchmarks.systems import REPOSITORY, DicomPipeline, pipeline
from benchmarks.template import Template, uids
from benchmarks.wire import Association, WireError, associate, command_pdu, fragment

_SAMPLE_SECONDS: Final = 0.05
_SETTLE_SECONDS: Final = 120.0
_RESPONSE_SECONDS: Final = 300.0
"""A slow disk may take this long to make a large object durable."""
_WARM_UP: Final = 2
_OVERRIDES: Final = {"RECEIVER_MAX_ASSOCIATIONS": "1000"}


@dataclass(frozen=True)
class Memory:
    """Resident set size in bytes."""

    case: str
    idle: int
    """After the first object, without associations."""
    median: int
    peak: int
    after: int
    """Associations ended, everything delivered."""


class Watch:
    """Samples the RSS of a process tree for as long as the context lasts."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self.samples: list[int] = []

    def _sample(self) -> None:
        while not self._end.wait(_SAMPLE_SECONDS):
            self.samples.append(rss(self._pid))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def rss(pid: int) -> int:
    """RSS of a process and all below it."""
    total = 0
    root = psutil.Process(pid)
    for process in (root, *root.children(recursive=True)):
        try:
            total += process.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def store_large(association: Association, template: Template, pixel_bytes: int) -> None:
    """Send an object of any size through one buffer, and wait for its success.

    Raises:
        WireError: the acceptor answered with another status.
    """
    head = _head(template, pixel_bytes)
    association.socket.settimeout(_RESPONSE_SECONDS)
    association.socket.sendall(command_pdu(template.sop_class_uid, uids(0, 0)["instance"], 1))
    association.socket.sendall(fragment(len(head), last=False) + head)
    size = association.max_pdu - 6
    part = fragment(size, last=False) + bytes(size)
    whole, rest = divmod(pixel_bytes - 1, size)
    for _ in range(whole):
        association.socket.sendall(part)
    association.socket.sendall(fragment(rest + 1, last=True) + bytes(rest + 1))
    if status := association.status(1):
        raise WireError(f"status {status:04X}")


def _head(template: Template, pixel_bytes: int) -> bytes:
    """The data set up to its pixels, with another length of them."""
    tag = bytes.fromhex("E07F1000") + b"OW\0\0"
    before = template.data_set[: template.data_set.rindex(tag)]
    return before + tag + pixel_bytes.to_bytes(4, "little")


def main() -> None:
    """Measure both cases."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.receiver_memory", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--associations", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10, help="of the associations' sending")
    parser.add_argument("--megabytes", type=int, default=2048, help="of the large object")
    parser.add_argument("--variant", default="", help="public, queued, NAME=VALUE+NAME=VALUE")
    parser.add_argument("--parent", type=Path, default=REPOSITORY, help="where the objects go")
    parser.add_argument("--json", type=Path, default=RESULTS / "receiver_memory.json")
    options = parser.parse_args()
    template = ct()
    with tempfile.TemporaryDirectory(dir=options.parent, prefix=".bench-") as name:
        folder = Path(name).resolve()
        told = machine.describe(folder)
        file = template.save(folder)
        load = Load(template, file, options.associations, 0, options.seconds)

        def many(server: DicomPipeline) -> int:
            sent = send_fast(server, load, _WARM_UP, lambda: None)
            return sent.warm_up + sent.objects

        def large(server: DicomPipeline) -> int:
            association = associate(server.port, server.called, template.sop_class_uid)
            store_large(association, template, options.megabytes << 20)
            association.release()
            return 1

        one = Load(template, file, 1, objects=1, seconds=0, first_association=options.associations)

        def measure(case: str, place: str, send: Callable[[DicomPipeline], int]) -> Memory:
            server = pipeline(options.variant, _OVERRIDES)
            with server.start(folder / place):
                return _measure(case, server, one, send)

        results = [
            measure(f"{options.associations} associations", "many", many),
            measure(f"object of {options.megabytes} MiB", "large", large),
        ]
    _show(results)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    content = {"rows": [asdict(each) for each in results], "machine": told}
    options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _measure(
    case: str, server: DicomPipeline, one: Load, send: Callable[[DicomPipeline], int]
) -> Memory:
    first = send_fast(server, one, 0, lambda: None).objects
    server.settle(first, _SETTLE_SECONDS)
    idle = rss(server.pid)
    with Watch(server.pid) as watch:
        count = send(server)
    server.settle(first + count, _SETTLE_SECONDS)
    return Memory(case, idle, int(median(watch.samples)), max(watch.samples), rss(server.pid))


def _show(results: list[Memory]) -> None:
    table = Table(title="RSS of the receiver, MiB", title_justify="left")
    table.add_column("case")
    for name in ("idle", "median", "peak", "after"):
        table.add_column(name, justify="right")
    for each in results:
        sizes = (each.idle, each.median, each.peak, each.after)
        table.add_row(each.case, *(f"{size / (1 << 20):.0f}" for size in sizes))
    Console().print(table)


if __name__ == "__main__":
    main()
