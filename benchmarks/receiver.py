"""How many objects a second, at what CPU and latency: `python -m benchmarks.receiver --help`."""

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks import machine, report
from benchmarks.files import write_files
from benchmarks.loads import LOADS
from benchmarks.report import FILES
from benchmarks.senders import Load, SendError, Sent, send_fast, send_storescu, write_folders
from benchmarks.systems import SYSTEMS, Server, SystemFailedError, found, system

RESULTS: Final = Path(__file__).parent / "results"
SENDERS: Final = ("fast", "storescu")

_STORESCU_OBJECTS: Final = 100
"""Per association and run: some systems take no more than 15 a second from each."""
_WARM_UP: Final = 10
"""Objects per association before the clock starts."""
_SETTLE_SECONDS: Final = 60.0
_FREE_BYTES: Final = 8 << 30
"""Below this the outputs so far are emptied."""


def main() -> None:
    """Run what the command line asks for."""
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else 150)
    with tempfile.TemporaryDirectory(dir=options.parent, prefix=".bench-") as folder:
        bench = Bench(options, Path(folder).resolve(), console)
        told = machine.describe(bench.folder)
        try:
            bench.run()
        except (SendError, SystemFailedError) as error:
            sys.exit(f"benchmark failed: {error}")
        finally:
            if bench.rows():
                report.show(bench.rows(), console)
    told["fsync_ms_after"] = bench.fsync_ms_after
    report.write(bench.rows(), told, options.json)
    console.print(f"written: {options.json}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.receiver", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1 run of 1 s, 4 associations, fast")
    parser.add_argument("--runs", type=int, help="of each combination (5)")
    parser.add_argument("--seconds", type=float, help="per run of the fast sender (3)")
    parser.add_argument("--objects", type=int, help="per run at most")
    compared = (*SYSTEMS, FILES)
    parser.add_argument("--systems", type=_list, default=list(compared), help=", ".join(compared))
    parser.add_argument(
        "--variants",
        type=_list,
        default=[],
        help="of our receiver: public, queued, single, written, or NAME=VALUE+NAME=VALUE",
    )
    parser.add_argument("--loads", type=_list, default=list(LOADS), help=", ".join(LOADS))
    parser.add_argument("--associations", type=_numbers, help="1,4,8")
    parser.add_argument("--senders", type=_list, help=", ".join(SENDERS))
    parser.add_argument("--json", type=Path, default=RESULTS / "receiver.json")
    parser.add_argument(
        "--parent", type=Path, default=Path(__file__).parent.parent, help="where the objects go"
    )
    options = parser.parse_args()
    quick = options.quick
    options.runs = options.runs or (1 if quick else 5)
    if options.seconds is None:
        options.seconds = 1.0 if quick else 3.0
    options.associations = options.associations or ([4] if quick else [1, 4, 8])
    options.senders = options.senders or (["fast"] if quick else list(SENDERS))
    options.systems += [f"dicom-pipeline:{variant}" for variant in options.variants]
    for name, known in (("loads", LOADS), ("senders", SENDERS)):
        if unknown := set(getattr(options, name)) - set(known):
            parser.error(f"--{name}: no {', '.join(sorted(unknown))}; use {', '.join(known)}")
    try:
        missing = [
            name for name in options.systems if name != FILES and not system(name).available()
        ]
    except ValueError as error:
        parser.error(str(error))
    if missing:
        print(f"not installed, left out: {', '.join(missing)}", file=sys.stderr)
        options.systems = [name for name in options.systems if name not in missing]
    if "storescu" in options.senders and found("storescu") is None:
        parser.error("--senders: storescu is not installed (DCMTK)")
    return options


def _list(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _numbers(value: str) -> list[int]:
    return [int(part) for part in _list(value)]


class Bench:
    """Rounds over the systems: neighbours, disk and clock treat all of them alike."""

    def __init__(self, options: argparse.Namespace, folder: Path, console: Console) -> None:
        self.options = options
        self.folder = folder
        self.fsync_ms_after = 0.0
        self._console = console
        self._count = 0
        self._runs: dict[tuple[str, str, int, str], list[report.Run]] = {}
        """By load, sender, associations and system."""

    def run(self) -> None:
        """Every combination that the options name."""
        options = self.options
        for name in options.loads:
            template = LOADS[name]()
            inputs = self.folder / "inputs" / name
            inputs.mkdir(parents=True)
            file = template.save(inputs)
            for sender in options.senders:
                for associations in options.associations:
                    load = Load(template, file, associations, options.objects or 0, options.seconds)
                    self._rounds(sender, load, inputs / f"files-{associations}")
        self.fsync_ms_after = round(machine.fsync_ms(self.folder), 3)

    def rows(self) -> list[report.Row]:
        """Medians so far."""
        return [
            report.row(name, load, associations, sender, runs)
            for (load, sender, associations, name), runs in self._runs.items()
        ]

    def _rounds(self, sender: str, load: Load, files: Path) -> None:
        send = self._sender(sender, load, files)
        names = [name for name in self.options.systems if name != FILES or sender == "fast"]
        for number in range(self.options.runs):
            turn = number % len(names)
            for name in (*names[turn:], *names[:turn]):
                self._make_room()
                if name == FILES:
                    told, run = name, write_files(self._next_folder(), load)
                else:
                    server = system(name)
                    told, run = server.name, self._once(server, load, send)
                key = (load.template.name, sender, load.associations, told)
                self._runs.setdefault(key, []).append(run)
                self._console.print(
                    f"{load.template.name} {sender} k={load.associations} run {number + 1} "
                    f"{told}: {run.objects_per_s:.0f} objects/s",
                    highlight=False,
                )

    def _sender(
        self, sender: str, load: Load, files: Path
    ) -> Callable[[Server, Callable[[], None]], Sent]:
        if sender == "fast":
            return lambda server, clock: send_fast(server, load, _WARM_UP, clock)
        objects = load.objects or _STORESCU_OBJECTS * load.associations
        folders = write_folders(load.template, files, load.associations, objects)
        return lambda server, clock: send_storescu(server, folders, clock)

    def _next_folder(self) -> Path:
        os.sync()  # no run pays for what the one before it left to the page cache
        self._count += 1
        return self.folder / f"{self._count:04d}"

    def _once(
        self, server: Server, load: Load, send: Callable[[Server, Callable[[], None]], Sent]
    ) -> report.Run:
        with server.start(self._next_folder()):
            before = 0.0

            def clock_starts() -> None:
                nonlocal before
                before = machine.cpu_seconds(server.pid)

            sent = send(server, clock_starts)
            server.settle(sent.warm_up + sent.objects, _SETTLE_SECONDS)
            # Deferred work is the system's work too: CPU is counted until it is done.
            cpu = machine.cpu_seconds(server.pid) - before
        return report.Run(sent, cpu, len(load.template.data_set))

    def _make_room(self) -> None:
        """Empty what runs have left once the disk is nearly full, without deleting it.

        ext4 without a journal leaves inodes alone for minutes after they are deleted, and looks at
        each of them whenever it makes a file: the runs that follow would pay for that.
        """
        if shutil.disk_usage(self.folder).free > _FREE_BYTES:
            return
        for path in self.folder.glob("[0-9]*/**/*"):
            if path.is_file():
                os.truncate(path, 0)
        if shutil.disk_usage(self.folder).free < _FREE_BYTES:
            raise SystemFailedError(
                f"{self.folder}: less than {_FREE_BYTES >> 30} GiB free: choose another --parent"
            )
        os.sync()


if __name__ == "__main__":
    main()
