"""What the demonstration shows and writes: each object's fate, by syntax and kind."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
from pydicom.uid import UID
from rich.console import Group, RenderableType
from rich.table import Table

from dicom_pipeline.cli.sending import Answer
from dicom_pipeline.cli.stack_info import StackInfo
from dicom_pipeline.demo.accounting import Acknowledged, Missing, Tables
from dicom_pipeline.imaging.transfer_syntaxes import (
    IMPLICIT_VR_LITTLE_ENDIAN,
    TRANSFER_SYNTAXES,
    Family,
)

_ACTIONS: Final = {
    "keep": "kept",
    "transcode": "converted",
    "extract_video": "video",
    "no_pixels": "no_pixels",
    "fail": "failed",
}
_COLUMNS: Final = ("sent", "refused", "stored", "indexed", *_ACTIONS.values())

_MISSING_SHOWN: Final = 20


class Line(msgspec.Struct, kw_only=True):
    """The objects of one transfer syntax and kind."""

    syntax: str
    kind: str
    counts: dict[str, int]


class Latency(msgspec.Struct):
    """Seconds from receipt to row, as seen by polling."""

    objects: int
    p50: float
    p95: float


class Report(msgspec.Struct, kw_only=True):
    """Everything that is shown; the JSON file is this."""

    complete: bool
    """Whether every object is accounted for."""
    caught_up: bool
    seconds_to_first_index_row: float | None
    seconds_total: float
    lines: list[Line]
    totals: dict[str, int]
    refusals: dict[str, int]
    failures: dict[str, int]
    latencies: dict[str, Latency]
    missing: list[Missing]


def lines(answers: Sequence[Answer], tables: Tables, tenant: str) -> list[Line]:
    """Count the objects by transfer syntax and kind."""
    counted: dict[tuple[str, str], Counter[str]] = {}
    for answer in answers:
        one = answer.outgoing
        key = _syntax(one.transfer_syntax_uid), _kind(one.sop_class_uid)
        counts = counted.setdefault(key, Counter())
        counts.update(_fate(answer, tables, Acknowledged(one.sop_uid, tenant)))
    return [
        Line(syntax=syntax, kind=kind, counts={name: counts[name] for name in _COLUMNS})
        for (syntax, kind), counts in sorted(counted.items())
    ]


def _syntax(uid: str) -> str:
    """A short name: the family of a compressed syntax with the end of its UID, e.g. ``RLE .5``."""
    known = TRANSFER_SYNTAXES.get(uid)
    if known is None:
        return UID(uid).name
    if known.family in {Family.NATIVE, Family.DEFLATED}:
        return known.name.replace("Little Endian", "LE").replace("Big Endian", "BE")
    return f"{known.family} {uid.removeprefix(IMPLICIT_VR_LITTLE_ENDIAN)}"


def _kind(sop_class_uid: str) -> str:
    return UID(sop_class_uid).name.removesuffix(" Storage").removesuffix(" Image")


def _fate(answer: Answer, tables: Tables, key: Acknowledged) -> list[str]:
    fate = ["sent"]
    if not answer.accepted:
        return [*fate, "refused"]
    if key in tables.stored:
        fate.append("stored")
    if key in tables.indexed:
        fate.append("indexed")
    if key in tables.rendition:
        action, error_code = tables.rendition[key]
        fate.append("failed" if error_code else _ACTIONS.get(action, action))
    return fate


def totals(lines_: Sequence[Line]) -> dict[str, int]:
    """The sums of all lines."""
    return {name: sum(line.counts[name] for line in lines_) for name in _COLUMNS}


def refusals(answers: Sequence[Answer]) -> dict[str, int]:
    """How often each refusal was answered."""
    return dict(
        Counter(
            f"{'not sent' if one.status is None else f'0x{one.status:04X}'} {one.comment}".strip()
            for one in answers
            if not one.accepted
        )
    )


def failures(answers: Sequence[Answer], tables: Tables, tenant: str) -> dict[str, int]:
    """How many of the sent objects cannot be shown, by reason.

    Files that share their SOP Instance UID share the fate of the one that was sent last.
    """
    keys = [Acknowledged(one.outgoing.sop_uid, tenant) for one in answers if one.accepted]
    failed = [key for key in keys if key in tables.rendition and tables.rendition[key][1]]
    return dict(Counter(tables.failures.get(key, "no reason recorded") for key in failed))


def latency(seconds: Sequence[float]) -> Latency | None:
    """Median and 95th percentile; None for less than two values."""
    if len(seconds) < 2:  # noqa: PLR2004 - what quantiles need
        return None
    p95 = statistics.quantiles(seconds, n=20, method="inclusive")[-1]
    return Latency(len(seconds), round(statistics.median(seconds), 2), round(p95, 2))


def shown(report: Report) -> RenderableType:
    """The report for a terminal."""
    parts: list[RenderableType] = [_fates(report)]
    parts += [
        _reasons(title, reasons)
        for title, reasons in (("Refused", report.refusals), ("Failed", report.failures))
        if reasons
    ]
    parts.append(_latencies(report))
    if report.missing:
        parts.append(_missing(report.missing))
    return Group(*parts)


def _fates(report: Report) -> Table:
    table = Table("transfer syntax", "kind", title="Objects", show_footer=True)
    table.columns[0].footer = "all"
    columns = [name for name in _COLUMNS if report.totals[name]]
    for name in columns:
        table.add_column(name.replace("_", " "), str(report.totals[name]), justify="right")
    syntax = ""
    for line in report.lines:
        if line.syntax != syntax:
            table.add_section()
        shown_syntax, syntax = "" if line.syntax == syntax else line.syntax, line.syntax
        counts = (str(line.counts[name] or "") for name in columns)
        table.add_row(shown_syntax, line.kind, *counts)
    return table


def _reasons(title: str, reasons: Mapping[str, int]) -> Table:
    table = Table("why", title=title)
    table.add_column("objects", justify="right")
    for reason, count in sorted(reasons.items()):
        table.add_row(reason, str(count))
    return table


def _latencies(report: Report) -> Table:
    table = Table("from receipt to", title="Seconds", caption="as seen by polling the tables")
    for name in ("objects", "p50", "p95"):
        table.add_column(name, justify="right")
    for stage, one in report.latencies.items():
        table.add_row(stage, str(one.objects), f"{one.p50:.1f}", f"{one.p95:.1f}")
    return table


def _missing(missing: Sequence[Missing]) -> Table:
    table = Table("SOP instance UID", "lacks", title="Not accounted for", title_style="bold red")
    for one in missing[:_MISSING_SHOWN]:
        table.add_row(one.sop_uid, one.what)
    if len(missing) > _MISSING_SHOWN:
        table.caption = f"and {len(missing) - _MISSING_SHOWN} more, all in the file of --json"
    return table


def where_to_look(info: StackInfo, tenant: str) -> str:
    """What a person may open next."""
    home = info.home
    return (
        f"\n[bold]Where to look[/]\n"
        f"  {info.viewer}/viewer/?tenant={tenant}   the studies, and their images\n"
        f"  {info.ui}/assets          lineage of queues and tables\n"
        f"  {info.ui}/runs            one run per range of messages\n"
        f"  {home}/storage            the originals, {home}/renditions the display copies\n"
        f"  {home}/manifests          what a viewer opens, a JSON file per study\n"
        f"  {home}/catalog.db         storage_record, study, series, instance, rendition\n"
        f"  {home}/warehouse.db       dicom_object_meta, tag tables, dicom_conversion_record\n"
        f"  DICOM_PIPELINE_HOME={home} dicom-pipeline status      lag and failures\n"
        f"  DICOM_PIPELINE_HOME={home} dicom-pipeline inspect UID  one object, series or study\n"
        f"  DICOM_PIPELINE_HOME={home} dicom-pipeline send FOLDER  your own files"
    )
