"""What the cache spares the index stage's writes: `python -m benchmarks.cache --help`."""

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from dicom_pipeline.cache import Cache, open_cache
from dicom_pipeline.cache.catalog import CachedCatalog
from dicom_pipeline.cache.warehouse import CachedWarehouse
from dicom_pipeline.catalog import Catalog, IndexedObject, open_catalog
from dicom_pipeline.catalog import tables as catalog_tables
from dicom_pipeline.settings import Settings
from dicom_pipeline.table_columns import Row, TableColumns
from dicom_pipeline.warehouse import PATIENT, SERIES, STUDY, Warehouse, open_warehouse
from dicom_pipeline_tests.services.mariadb import MariaDb, missing_programs, running_mariadb
from dicom_pipeline_tests.services.redis import RedisServer, find_program, running_redis

RESULTS: Final = Path(__file__).parent / "results" / "cache.json"
OBJECTS: Final = 1000
SERIES_LENGTHS: Final = (1, 100, 1000)
CACHES: Final = ("none", "in process", "redis")
PARTITIONS: Final = 3

_BATCH: Final = 50
"""Objects of a range: what a modality sends between two ticks, at ten a second."""
_LEVELS: Final = ("patient", "study", "series")
_LOADS: Final = {PATIENT: "patient", STUDY: "study", SERIES: "series"}
_COLUMNS: Final = {
    "patient": catalog_tables.PATIENT_COLUMNS,
    "study": catalog_tables.STUDY_COLUMNS,
    "series": catalog_tables.SERIES_COLUMNS,
    "instance": catalog_tables.INSTANCE_COLUMNS,
}

Batch = Sequence[IndexedObject]


class System(NamedTuple):
    """Where rows go, and how a batch is written there."""

    name: str
    index: Callable[[Batch], object]
    skeletons: Callable[[Batch], object] | None


class Taken(NamedTuple):
    """One run of a flow."""

    parent_rows: int
    spared_rows: int
    ms: float
    cpu_ms: float


@dataclass(frozen=True)
class Measured:
    """Medians of one flow on one system with one cache."""

    system: str
    flow: str
    series_length: int
    cache: str
    parent_rows: int
    """Rows of patients, studies and series that would be sent without a cache."""
    spared_rows: int
    ms_per_object: float
    """Wall-clock time, the median of the runs."""
    best_ms_per_object: float
    """That of the quickest run: what neighbours on the machine distort least."""
    cpu_ms_per_object: float
    """Of this process, the median."""
    runs: int


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cache", description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="of each combination (5)")
    parser.add_argument("--objects", type=int, default=OBJECTS, help=f"of each flow ({OBJECTS})")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--parent", type=Path, default=Path(__file__).parent.parent)
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 150)
    with (
        tempfile.TemporaryDirectory(dir=options.parent, prefix=".bench-") as folder,
        ExitStack() as stack,
    ):
        told = machine.describe(Path(folder))
        bench = Bench(
            Path(folder),
            stack.enter_context(running_mariadb()) if not missing_programs() else None,
            stack.enter_context(running_redis()) if find_program() else None,
            options.objects,
        )
        for number in range(options.runs):
            bench.round()
            console.print(f"run {number + 1} of {options.runs} done", highlight=False)
    rows = bench.rows()
    _show(rows, console)
    options.json.parent.mkdir(parents=True, exist_ok=True)
    content = {"rows": [asdict(row) for row in rows], "machine": told}
    options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    console.print(f"written: {options.json}")


class Bench:
    """Rounds over all combinations; what is not installed is left out."""

    def __init__(
        self, folder: Path, mariadb: MariaDb | None, redis: RedisServer | None, objects: int
    ) -> None:
        self._folder = folder
        self._mariadb = mariadb
        self._redis = redis
        self._objects = objects
        self._caches = [name for name in CACHES if redis or name != "redis"]
        self._taken: dict[tuple[str, str, int, str], list[Taken]] = {}

    def round(self) -> None:
        """Every combination once, the caches each time in another order."""
        for length in SERIES_LENGTHS:
            objects = _objects(self._objects, length)
            for cache in random.sample(self._caches, len(self._caches)):
                for system in ("catalog on SQLite", "catalog on MariaDB", "warehouse on SQLite"):
                    if self._mariadb or "MariaDB" not in system:
                        self._flows(system, cache, length, objects)

    def rows(self) -> list[Measured]:
        """Medians so far."""
        return [
            Measured(
                *key,
                parent_rows=runs[0].parent_rows,
                spared_rows=runs[0].spared_rows,
                ms_per_object=round(median(run.ms for run in runs), 4),
                best_ms_per_object=round(min(run.ms for run in runs), 4),
                cpu_ms_per_object=round(median(run.cpu_ms for run in runs), 4),
                runs=len(runs),
            )
            for key, runs in sorted(self._taken.items(), key=lambda item: _order(item[0]))
        ]

    def _flows(self, system: str, cache: str, length: int, objects: Batch) -> None:
        in_order = _batches(objects)
        with self._open(system, cache) as (opened, opened_cache):

            def measure(flow: str, write: Callable[[Batch], object], ranges: list[Batch]) -> None:
                before = opened_cache.counts.cache_spared_rows
                started, cpu = time.perf_counter(), time.process_time()
                for batch in ranges:
                    write(batch)
                taken = Taken(
                    _parents(ranges),
                    opened_cache.counts.cache_spared_rows - before,
                    1000 * (time.perf_counter() - started) / len(objects),
                    1000 * (time.process_time() - cpu) / len(objects),
                )
                self._taken.setdefault((opened.name, flow, length, cache), []).append(taken)

            measure("in order", opened.index, in_order)
            measure("replay", opened.index, in_order)
            if opened.skeletons:
                measure("skeletons afterwards", opened.skeletons, in_order)
        with self._open(system, cache) as (opened, opened_cache):
            measure(f"{PARTITIONS} partitions", opened.index, _partitioned(objects))

    @contextmanager
    def _open(self, system: str, cache: str) -> Iterator[tuple[System, Cache]]:
        with ExitStack() as stack:
            home = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=self._folder)))
            urls = {}
            if "MariaDB" in system:
                assert self._mariadb
                urls["catalog_url"] = stack.enter_context(self._mariadb.fresh_database())
            if cache == "redis":
                assert self._redis
                urls["cache_url"] = self._redis.fresh_url()
            settings = Settings(dicom_pipeline_home=home, **urls)
            opened = stack.enter_context(open_cache(settings))
            if system.startswith("catalog"):
                catalog = stack.enter_context(open_catalog(settings))
                catalog.migrate()
                yield _catalog(system, cache, catalog, opened, settings), opened
            else:
                warehouse = stack.enter_context(open_warehouse(settings))
                warehouse.migrate()
                yield _warehouse(system, cache, warehouse, opened, settings), opened


def _catalog(name: str, cache: str, catalog: Catalog, opened: Cache, settings: Settings) -> System:
    if cache != "none":
        catalog = CachedCatalog(catalog, opened, settings)
    return System(
        name, catalog.index, lambda batch: catalog.record_storage([], [_skeleton(o) for o in batch])
    )


def _warehouse(
    name: str, cache: str, warehouse: Warehouse, opened: Cache, settings: Settings
) -> System:
    if cache != "none":
        warehouse = CachedWarehouse(warehouse, opened, settings)

    def index(batch: Batch) -> None:
        for table, level in _LOADS.items():
            warehouse.load(table, [getattr(item, level) for item in batch], table)

    return System(name, index, None)


def _objects(number: int, series_length: int) -> list[IndexedObject]:
    """Objects with a value in every column; each series is the only one of its patient."""
    objects = []
    for n in range(number):
        series = n // series_length
        keys = {
            "tenant_id": "default",
            "patient_id": f"patient-{series}",
            "study_uid": f"1.2.826.0.1.3680043.8.498.{series}.1",
            "series_uid": f"1.2.826.0.1.3680043.8.498.{series}.2",
            "sop_uid": f"1.2.826.0.1.3680043.8.498.{series}.{n}",
            "trace_id": f"01900000-0000-7000-8000-{n:012d}",
            "row_version": (1_760_000_000_000_000 + n) * 1024,
        }
        objects.append(IndexedObject(*(_row(columns, keys) for columns in _COLUMNS.values())))
    return objects


def _row(columns: TableColumns, keys: dict[str, object]) -> Row:
    values: dict[type, object] = {str: "a value", int: 17, float: 1.5, bool: True}
    return {c.name: keys.get(c.name, values[c.type]) for c in columns.columns}


def _skeleton(item: IndexedObject) -> IndexedObject:
    names = {"tenant_id", "trace_id", "patient_id", "study_uid", "series_uid"}
    levels = (getattr(item, level) for level in _LEVELS)
    rows = ({**{k: v for k, v in row.items() if k in names}, "row_version": 0} for row in levels)
    return IndexedObject(*rows, instance={})


def _batches(objects: Batch) -> list[Batch]:
    return [objects[start : start + _BATCH] for start in range(0, len(objects), _BATCH)]


def _partitioned(objects: Batch) -> list[Batch]:
    """The ranges of three partitions, whose runs go side by side and end in any order."""
    chance = random.Random(1)  # noqa: S311 - the same each time
    parts: list[list[IndexedObject]] = [[] for _ in range(PARTITIONS)]
    for item in objects:
        parts[chance.randrange(PARTITIONS)].append(item)
    waiting = [_batches(part) for part in parts]
    ranges = []
    while waiting:
        one = chance.choice(waiting)
        ranges.append(one.pop(0))
        waiting = [part for part in waiting if part]
    return ranges


def _parents(ranges: list[Batch]) -> int:
    """Each range sends one row of each patient, study and series that it speaks of."""
    return sum(
        len({id_of(item) for item in batch})
        for batch in ranges
        for id_of in (
            lambda item: item.patient["patient_id"],
            lambda item: item.study["study_uid"],
            lambda item: item.series["series_uid"],
        )
    )


def _order(key: tuple[str, str, int, str]) -> tuple[str, str, int, int]:
    system, flow, length, cache = key
    return system, flow, length, CACHES.index(cache)


def _show(rows: list[Measured], console: Console) -> None:
    table = Table(title="Writes of the index stage", title_justify="left")
    for name in ("system", "flow", "series of", "cache"):
        table.add_column(name)
    for name in ("parent rows", "spared", "ms/object", "best", "CPU ms", "of none"):
        table.add_column(name, justify="right")
    plain = 0.0
    for row in rows:
        if row.cache == "none":
            plain = row.cpu_ms_per_object
            table.add_section()
        table.add_row(
            row.system,
            row.flow,
            str(row.series_length),
            row.cache,
            str(row.parent_rows),
            str(row.spared_rows),
            f"{row.ms_per_object:.3f}",
            f"{row.best_ms_per_object:.3f}",
            f"{row.cpu_ms_per_object:.3f}",
            f"{100 * row.cpu_ms_per_object / plain:.0f} %",
        )
    console.print(table)


if __name__ == "__main__":
    main()
