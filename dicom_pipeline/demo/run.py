"""The command `demo`: start the group, send, wait, account, show."""

import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.status import Status as Spinner

from dicom_pipeline.cli.exits import INCOMPLETE, OK
from dicom_pipeline.cli.network import answers
from dicom_pipeline.cli.progress import manifests_due, messages_left
from dicom_pipeline.cli.screen import screen
from dicom_pipeline.cli.sending import Answer, Destination, Outgoing, read_outgoing, send_files
from dicom_pipeline.cli.stack import receiver_file
from dicom_pipeline.cli.stack_info import StackInfo
from dicom_pipeline.cli.stack_process import StackProcess
from dicom_pipeline.clock import iso_time, wall_clock_us
from dicom_pipeline.demo import report
from dicom_pipeline.demo.accounting import Acknowledged, missing, read_tables
from dicom_pipeline.demo.dcmtk import find_storescu, send_with_storescu
from dicom_pipeline.demo.objects import bundled_objects, ct_series
from dicom_pipeline.demo.video import video
from dicom_pipeline.demo.watch import Watch
from dicom_pipeline.imaging.outcomes import ImagingError
from dicom_pipeline.imaging.video.tools import find_tools
from dicom_pipeline.peers import load_peers
from dicom_pipeline.settings import Settings

MANIFESTS: Final = "manifests"
EXIT_VARIABLE: Final = "DEMO_EXIT"
"""Set to 1: stop everything at the end, even at a terminal."""
CALLING: Final = "DEMO"
_START_SECONDS: Final = 120
_LOOK_SECONDS: Final = 1.0


def run_demo(
    settings: Settings,
    group: StackProcess,
    *,
    slices: int,
    time_limit: float,
    json_file: Path | None,
) -> int:
    """The command `demo`, with a group that was started and that the caller stops."""
    console = screen()
    stays = sys.stdout.isatty() and os.environ.get(EXIT_VARIABLE) != "1"
    result, info = _demonstrate(settings, group, console, slices, time_limit)
    console.print(report.shown(result))
    console.print(
        report.where_to_look(info, demo_tenant(settings)), highlight=False, soft_wrap=True
    )
    console.print(_verdict(result))
    if json_file:
        json_file.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    if stays:
        console.print("Everything keeps running; Ctrl-C stops it.")
        _stay(group)
    return OK if result.complete else INCOMPLETE


def _demonstrate(
    settings: Settings, group: StackProcess, console: Console, slices: int, time_limit: float
) -> tuple[report.Report, StackInfo]:
    started = time.monotonic()
    with console.status("starting the receiver …") as spinner:
        info = group.wait_until(lambda info: _receives(settings, info), _START_SECONDS)
        since = iso_time(wall_clock_us())
        with Watch(settings, since, started) as watch:
            answered = _send_all(settings, info, console, spinner, slices)
            spinner.update("starting Dagster …")
            info = group.wait_until(_looking(watch, lambda info: info.ready), _START_SECONDS)
            console.print(f"Dagster UI at {info.ui} after {time.monotonic() - started:.0f} s")
            left = _catch_up(settings, group, watch, spinner, time_limit)
            if any(left.values()):
                console.print(f"[red]not caught up after {time_limit:.0f} s[/]: {_waiting(left)}")
    return _report(settings, answered, watch, caught_up=not any(left.values())), info


def _receives(settings: Settings, info: StackInfo) -> bool:
    there = receiver_file(settings).exists() and answers(info.receiver_host, info.receiver_port)
    return there and info.prepared


def _looking(watch: Watch, reached: Callable[[StackInfo], bool]) -> Callable[[StackInfo], bool]:
    """The condition, with a look at the tables each time it is asked."""

    def look_and_ask(info: StackInfo) -> bool:
        watch.look()
        return reached(info)

    return look_and_ask


def _send_all(
    settings: Settings, info: StackInfo, console: Console, spinner: Spinner, slices: int
) -> list[Answer]:
    destination = Destination(
        info.receiver_host, info.receiver_port, info.receiver_ae_title, CALLING
    )
    bundled = bundled_objects()
    spinner.update(f"generating a CT series of {slices} slices …")
    series = [
        one
        for path in ct_series(settings.home / "demo" / "ct", slices)
        if (one := read_outgoing(path))
    ]
    videos = _videos(settings, console)
    begun = time.monotonic()
    spinner.update(f"sending {len(bundled) + len(series) + len(videos)} objects …")
    answered = _send_uncompressed(series, destination, console)
    done = {one.outgoing.path for one in answered}
    rest = [one for one in (*bundled, *series, *videos) if one.path not in done]
    send_files(rest, destination, jobs=2, answered=answered.append)
    console.print(
        f"sent {len(answered)} objects in {time.monotonic() - begun:.1f} s: "
        f"{len(done)} by DCMTK storescu, {len(rest)} by dicom-pipeline send"
    )
    return answered


def _videos(settings: Settings, console: Console) -> list[Outgoing]:
    """A video, where a rendition can be made of it."""
    try:
        find_tools()
    except ImagingError as error:
        console.print(f"no video is sent: {error.reason}", highlight=False, soft_wrap=True)
        return []
    one = read_outgoing(video(settings.home / "demo" / "video.dcm"))
    return [one] if one else []


def _send_uncompressed(
    series: Sequence[Outgoing], destination: Destination, console: Console
) -> list[Answer]:
    program = find_storescu()
    if program is None or not series:
        console.print("DCMTK's storescu is not installed: `dicom-pipeline send` sends everything")
        return []
    return send_with_storescu(program, series, destination)


def _catch_up(
    settings: Settings, group: StackProcess, watch: Watch, spinner: Spinner, time_limit: float
) -> dict[str, int]:
    """Wait until nothing is left, or the time is up; returns what is left."""
    deadline = time.monotonic() + time_limit
    while True:
        group.check()
        left = {**messages_left(settings), MANIFESTS: manifests_due(settings)}
        watch.look()
        if not any(left.values()) or time.monotonic() > deadline:
            return left
        spinner.update(f"waiting for the stages: {_waiting(left)}")
        time.sleep(_LOOK_SECONDS)


def _waiting(left: dict[str, int]) -> str:
    return "left to do: " + ", ".join(f"{stage} {count}" for stage, count in left.items())


def _report(
    settings: Settings, answered: Sequence[Answer], watch: Watch, *, caught_up: bool
) -> report.Report:
    tenant = demo_tenant(settings)
    tables = read_tables(settings, since=watch.since)
    acknowledged = [Acknowledged(one.outgoing.sop_uid, tenant) for one in answered if one.accepted]
    lacking = missing(settings, acknowledged, since=watch.since)
    lines = report.lines(answered, tables, tenant)
    return report.Report(
        complete=caught_up and not lacking,
        caught_up=caught_up,
        seconds_to_first_index_row=watch.first_index_row,
        seconds_total=watch.seconds(),
        lines=lines,
        totals=report.totals(lines),
        refusals=report.refusals(answered),
        failures=report.failures(answered, tables, tenant),
        latencies=watch.latencies(),
        missing=lacking,
    )


def demo_tenant(settings: Settings) -> str:
    """The tenant that the peers file gives to this machine's own objects."""
    peer = load_peers(settings.peers).find("127.0.0.1", CALLING, settings.receiver_ae_title)
    return peer.tenant if peer else ""


def _verdict(result: report.Report) -> str:
    sent, refused = result.totals["sent"], result.totals["refused"]
    if result.complete:
        return (
            f"[bold green]every object is accounted for[/]: {sent} sent, {refused} refused with a "
            f"status, {sent - refused} stored, indexed and decided in {result.seconds_total:.0f} s"
        )
    lacking = len({one.sop_uid for one in result.missing})
    return (
        f"[bold red]not everything is accounted for[/]: {lacking} of {sent} objects lack something"
    )


def _stay(group: StackProcess) -> None:
    try:
        while group.running():
            time.sleep(_LOOK_SECONDS)
    except KeyboardInterrupt:
        return
