"""From runs to rows, a table and the JSON file."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.senders import Sent

FILES = "files"
"""The row of `benchmarks.files`: what durable files cost by themselves, not a system."""
_OURS = "dicom-pipeline"
_OTHERS = ("orthanc", "storescp", FILES)


@dataclass(frozen=True)
class Run:
    """One system under one load, once."""

    sent: Sent
    server_cpu_seconds: float
    object_bytes: int

    @property
    def objects_per_s(self) -> float:
        return self.sent.objects / self.sent.seconds

    def latency_ms(self, quantile: float) -> float | None:
        """Latency that this share of the objects does not exceed."""
        ordered = sorted(self.sent.latencies_us)
        if not ordered:
            return None
        return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] / 1000


@dataclass(frozen=True)
class Row:
    """Medians of a system's runs under one load."""

    system: str
    load: str
    associations: int
    sender: str
    objects_per_s: float
    mb_per_s: float
    cpu_ms_per_object: float
    p50_ms: float | None
    p99_ms: float | None
    sender_cpu_ms_per_object: float
    runs: int


def row(system: str, load: str, associations: int, sender: str, runs: Sequence[Run]) -> Row:
    """The medians; each run has its own quantiles of the latency."""
    rate = median(run.objects_per_s for run in runs)

    def latency(quantile: float) -> float | None:
        values = [value for run in runs if (value := run.latency_ms(quantile)) is not None]
        return round(median(values), 3) if values else None

    def per_object(seconds: Sequence[float]) -> float:
        spent = zip(seconds, runs, strict=True)
        return round(median(1000 * value / run.sent.objects for value, run in spent), 4)

    return Row(
        system=system,
        load=load,
        associations=associations,
        sender=sender,
        objects_per_s=round(rate, 1),
        mb_per_s=round(rate * runs[0].object_bytes / 1e6, 1),
        cpu_ms_per_object=per_object([run.server_cpu_seconds for run in runs]),
        p50_ms=latency(0.5),
        p99_ms=latency(0.99),
        sender_cpu_ms_per_object=per_object([run.sent.cpu_seconds for run in runs]),
        runs=len(runs),
    )


def show(rows: Sequence[Row], console: Console) -> None:
    """Every row, then our ratios."""
    table = Table(title="Storage SCPs: medians", title_justify="left")
    for name in ("load", "sender", "assoc.", "system"):
        table.add_column(name)
    for name in (
        "objects/s",
        "MB/s",
        "CPU ms/object",
        "p50 ms",
        "p99 ms",
        "sender CPU ms",
        *(f"× {other}" for other in _OTHERS),
        "runs",
    ):
        table.add_column(name, justify="right")
    group = None
    for each in rows:
        if group not in (None, _group(each)):
            table.add_section()
        group = _group(each)
        table.add_row(
            each.load,
            each.sender,
            str(each.associations),
            each.system,
            f"{each.objects_per_s:.1f}",
            f"{each.mb_per_s:.1f}",
            f"{each.cpu_ms_per_object:.3f}",
            _number(each.p50_ms),
            _number(each.p99_ms),
            f"{each.sender_cpu_ms_per_object:.3f}",
            *(_number(ratio(rows, each, other)) for other in _OTHERS),
            str(each.runs),
        )
    console.print(table)


def ratio(rows: Sequence[Row], mine: Row, other: str) -> float | None:
    """Objects per second of our row over the other system's; None for the others' rows."""
    if not mine.system.startswith(_OURS):
        return None
    for each in rows:
        if each.system == other and _group(each) == _group(mine) and each.objects_per_s:
            return round(mine.objects_per_s / each.objects_per_s, 2)
    return None


def write(rows: Sequence[Row], machine: dict[str, object], path: Path) -> None:
    """``{"rows": […], "ratios": […], "machine": {…}}``."""
    ratios = [
        {
            "system": each.system,
            "load": each.load,
            "associations": each.associations,
            "sender": each.sender,
            "over": other,
            "objects_per_s": value,
        }
        for each in rows
        for other in _OTHERS
        if (value := ratio(rows, each, other)) is not None
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"rows": [asdict(each) for each in rows], "ratios": ratios, "machine": machine}
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def _group(each: Row) -> tuple[str, str, int]:
    return each.load, each.sender, each.associations


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
