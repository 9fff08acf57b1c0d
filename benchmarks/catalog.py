"""How many rows a second the catalog takes, per database: `python -m benchmarks.catalog --help`."""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import machine
from benchmarks.machine import cpu_seconds
from dicom_pipeline.catalog import Catalog, IndexedObject
from dicom_pipeline.catalog.sql import SqlCatalog
from dicom_pipeline.imaging import tag_columns
from dicom_pipeline.imaging.tag_columns import Kind, TagColumn
from dicom_pipeline.table_columns import Row
from dicom_pipeline_tests.services.mariadb import missing_programs, running_mariadb

RESULTS: Final = Path(__file__).parent / "results"

_VALUES: Final[Mapping[Kind, str | int | float]] = {
    Kind.DATE: "2026-01-31",
    Kind.TIME: "12:34:56.000000",
    Kind.INTEGER: 512,
    Kind.REAL: 0.48828125,
    Kind.CODES: '[{"value": "CTABDO", "scheme": "LN", "meaning": "CT abdomen"}]',
}
_TEXT: Final = "Thorax 1.25 mm axial, B60f"
_ROOT: Final = "1.2.826.0.1.3680043.10.1234"

_DURABLE: Final = (
    "--innodb-flush-method=fsync",  # the tests' server leaves it to the operating system
    "--innodb-buffer-pool-size=256M",
    "--innodb-log-file-size=128M",
)


@dataclass(frozen=True)
class Result:
    """One kind of work on one database."""

    database: str
    work: str
    rows_per_batch: int
    batches: int
    rows_per_s: float
    batch_p50_ms: float
    batch_p95_ms: float
    cpu_ms_per_row: float
    """Ours and the server's: steadier than the rate where the machine has other work."""


@dataclass(frozen=True)
class Work:
    """One kind of work: what a batch writes, given its number."""

    name: str
    write: Callable[[Catalog, int], object]


def works(rows: int) -> list[Work]:
    """What is measured, in this order: later works meet the rows of those before them."""
    objects = partial(_objects, rows=rows)
    return [
        Work("storage records, new", lambda c, n: c.record_storage(_records(n, rows), [])),
        Work("index, new: 10 series a batch", lambda c, n: c.index(objects(n, series=10))),
        Work("index, the same again", lambda c, n: c.index(objects(n, series=10))),
        Work("index, newer versions", lambda c, n: c.index(objects(n, series=10, version=2))),
        Work(
            "index, new: every object a study",
            lambda c, n: c.index(objects(n + 1_000_000, series=rows)),
        ),
        Work("renditions, new", lambda c, n: c.record_renditions(_renditions(n, rows))),
    ]


def _common(batch: int, number: int, version: int) -> Row:
    trace = f"0190f5a0-{batch % 65536:04x}-7{version:03x}-8000-{number:012x}"
    return {"tenant_id": "default", "trace_id": trace, "row_version": version << 40 | number}


def _tags(columns: tuple[TagColumn, ...]) -> Row:
    return {c.name: _VALUES.get(c.kind, _TEXT[: c.length or len(_TEXT)]) for c in columns}


_PATIENT, _STUDY, _SERIES, _IMAGE = (
    _tags(columns)
    for columns in (
        tag_columns.PATIENT,
        tag_columns.STUDY,
        tag_columns.SERIES,
        tag_columns.IMAGE,
    )
)


def _objects(batch: int, *, rows: int, series: int, version: int = 1) -> list[IndexedObject]:
    """A batch of new objects; up to ten series make a study."""
    objects = []
    for number in range(rows):
        common = _common(batch, number, version)
        which = number * series // rows
        keys = {
            "patient_id": f"P{batch}-{which // 10}",
            "study_uid": f"{_ROOT}.{batch}.{which if series == rows else which // 10}",
            "series_uid": f"{_ROOT}.{batch}.{which // 10}.{which}",
        }
        patient = {"patient_id": keys["patient_id"]}
        study = {"study_uid": keys["study_uid"]}
        sop_uid = f"{_ROOT}.{batch}.{which}.{number}"
        file = {"file_path": f"default/20260131/{sop_uid}.dcm", "file_size": 527_000}
        objects.append(
            IndexedObject(
                {**_PATIENT, **common, **patient},
                {**_STUDY, **common, **study, **patient},
                {**_SERIES, **common, **study, "series_uid": keys["series_uid"]},
                {**_IMAGE, **common, **keys, **file, "sop_uid": sop_uid},
            )
        )
    return objects


def _records(batch: int, rows: int) -> list[Row]:
    return [
        {
            **_common(batch, number, 1),
            "version": batch * rows + number,
            "worker_node_id": "receiver-1",
            "patient_id": f"P{batch}",
            "study_uid": f"{_ROOT}.{batch}",
            "series_uid": f"{_ROOT}.{batch}.{number // 100}",
            "sop_uid": f"{_ROOT}.{batch}.{number}",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "file_path": f"default/20260131/{_ROOT}.{batch}/{_ROOT}.{batch}.{number}.dcm",
            "file_name": f"{_ROOT}.{batch}.{number}.dcm",
            "file_size": 527_000,
            "digest": f"{number:064x}",
            "created_time": "2026-01-31T12:00:00.000001Z",
            "source_ip": "192.0.2.17",
            "source_ae": "CT1",
        }
        for number in range(rows)
    ]


def _renditions(batch: int, rows: int) -> list[Row]:
    return [
        {
            **_common(batch, number, 1),
            "sop_uid": f"{_ROOT}.{batch}.{number}",
            "study_uid": f"{_ROOT}.{batch}",
            "series_uid": f"{_ROOT}.{batch}.{number // 100}",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
            "action": "keep",
            "rule": "native",
            "source_path": f"default/20260131/{_ROOT}.{batch}/{_ROOT}.{batch}.{number}.dcm",
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "number_of_frames": 1,
        }
        for number in range(rows)
    ]


def measure(
    database: str, catalog: Catalog, rows: int, batches: int, server: int | None = None
) -> Iterator[Result]:
    """Every work, timed without what it takes to make the rows up.

    Args:
        database: what it is called.
        catalog: an empty one.
        rows: of a batch.
        batches: of each work.
        server: the process id of its server, if it has one.
    """
    catalog.migrate()
    for work in works(rows):
        timed = Timed(catalog)
        before = cpu_seconds(server) if server else 0.0
        for batch in range(batches):
            work.write(timed, batch)
        spent = timed.cpu_seconds + (cpu_seconds(server) - before if server else 0.0)
        seconds = timed.seconds
        yield Result(
            database,
            work.name,
            rows,
            batches,
            round(rows * batches / sum(seconds), 1),
            round(1000 * median(seconds), 1),
            round(1000 * (quantiles(seconds, n=20)[-1] if batches > 1 else seconds[0]), 1),
            round(1000 * spent / (rows * batches), 3),
        )


class Timed:
    """Takes the time of each call of a catalog's method; its arguments are made up before."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.seconds: list[float] = []
        self.cpu_seconds = 0.0

    def __getattr__(self, name: str) -> Callable[..., object]:
        method = getattr(self._catalog, name)

        def call(*arguments: object) -> object:
            began, cpu = time.perf_counter(), time.process_time()
            result = method(*arguments)
            self.seconds.append(time.perf_counter() - began)
            self.cpu_seconds += time.process_time() - cpu
            return result

        return call


Opened = tuple[Catalog, int | None]
"""An empty catalog, and the process id of its server."""


@contextmanager
def _sqlite(folder: Path) -> Iterator[Opened]:
    with SqlCatalog(f"sqlite:///{folder / 'catalog.db'}") as catalog:
        yield catalog, None


@contextmanager
def _mariadb(_folder: Path) -> Iterator[Opened]:
    with (
        running_mariadb(*_DURABLE) as server,
        server.fresh_database() as url,
        SqlCatalog(url) as catalog,
    ):
        yield catalog, server.pid


DATABASES: Final = {"sqlite": _sqlite, "mariadb": _mariadb}


def show(results: list[Result], console: Console) -> None:
    """Every result as a row of a table."""
    rows = results[0].rows_per_batch
    table = Table(title=f"Catalog: batches of {rows} rows", title_justify="left")
    for name in ("work", "database"):
        table.add_column(name)
    for name in ("rows/s", "batch p50 ms", "p95 ms", "CPU ms/row", "batches"):
        table.add_column(name, justify="right")
    for one in sorted(results, key=lambda one: [w.name for w in works(1)].index(one.work)):
        table.add_row(
            one.work,
            one.database,
            f"{one.rows_per_s:,.0f}",
            f"{one.batch_p50_ms:.1f}",
            f"{one.batch_p95_ms:.1f}",
            f"{one.cpu_ms_per_row:.2f}",
            str(one.batches),
        )
    console.print(table)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.catalog", description=__doc__)
    parser.add_argument("--rows", type=int, default=1000, help="of a batch (1000)")
    parser.add_argument("--batches", type=int, default=10, help="of each work (10)")
    parser.add_argument("--databases", default=",".join(DATABASES), help=", ".join(DATABASES))
    parser.add_argument("--json", type=Path, default=RESULTS / "catalog.json")
    parser.add_argument(
        "--parent", type=Path, default=Path(__file__).parent.parent, help="where the tables go"
    )
    options = parser.parse_args()
    names = options.databases.split(",")
    if "mariadb" in names and (missing := missing_programs()):
        sys.exit(f"MariaDB is not installed: no {', '.join(missing)}; or choose --databases sqlite")
    console = Console(width=None if sys.stdout.isatty() else 120)
    results: list[Result] = []
    with tempfile.TemporaryDirectory(dir=options.parent, prefix=".bench-") as folder:
        tempfile.tempdir = folder  # the server's data as well
        told = machine.describe(Path(folder).resolve())
        for name in names:
            with DATABASES[name](Path(folder)) as (catalog, server):
                results += measure(name, catalog, options.rows, options.batches, server)
    show(results, console)
    content = {"rows": [asdict(one) for one in results], "machine": told}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    console.print(f"written: {options.json}")


if __name__ == "__main__":
    main()
