"""Running the group in the foreground: the command `up`."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import msgspec
from rich.console import Console

from dicom_pipeline.cli.exits import OK, run
from dicom_pipeline.cli.network import free_port, reachable
from dicom_pipeline.cli.preparation import Preparation
from dicom_pipeline.cli.stack import (
    RECEIVER,
    fixed_ports,
    parts,
    prepare_dagster_home,
    receiver_file,
)
from dicom_pipeline.cli.stack_info import StackInfo, addresses, exclusive, info_file
from dicom_pipeline.errors import PipelineError
from dicom_pipeline.file_server.exposure import exposed
from dicom_pipeline.manifests.addresses import viewer_base
from dicom_pipeline.process_tree import run_kept
from dicom_pipeline.settings import Settings
from dicom_pipeline.storage import atomic_file
from dicom_pipeline.supervisor import STEP_SECONDS, Supervisor

START_SECONDS: Final = 120
"""The group must be ready within this time, once its systems are."""


def run_up(settings: Settings, *, receiver: bool = True) -> int:
    """The command `up`: returns when it was stopped."""
    with exclusive(settings.home):
        return run_kept(lambda: run(lambda: supervise(settings, receiver=receiver)))


def supervise(settings: Settings, *, receiver: bool = True) -> int:
    """Start the group, migrate, keep it running until SIGTERM or SIGINT, stop it.

    The receiver does not wait for the systems behind it: with one of them away it takes objects,
    and the other parts start when it is back. Without ``receiver`` none runs here.
    """
    console = Console(soft_wrap=True, highlight=False)
    stopping = _stop_signals()
    settings = fixed_ports(settings, receiver=receiver)
    code_server_port = free_port("127.0.0.1")
    if warning := exposed(settings):
        console.print(f"[bold red]{warning}[/]")
    if receiver:
        receiver_file(settings).unlink(missing_ok=True)
    prepare_dagster_home(settings, code_server_port)
    preparation = Preparation(settings, lambda line: console.print(line, style="dim", markup=False))
    group = Supervisor(
        parts(settings, code_server_port, preparation.done, receiver=receiver),
        settings.home / "logs",
        say=lambda line: console.print(f"[yellow]{line}[/]"),
    )
    preparation.start()
    try:
        _keep_running(group, preparation, settings, console, stopping)
    finally:
        try:
            console.print("[dim]stopping …[/]")
        finally:  # whoever read the output may be gone
            preparation.stop()
            group.stop()
            info_file(settings).unlink(missing_ok=True)
    return OK


def _keep_running(
    group: Supervisor,
    preparation: Preparation,
    settings: Settings,
    console: Console,
    stopping: Callable[[], bool],
) -> None:
    started = prepared = time.monotonic()
    written = None
    announced = False
    while not stopping():
        group.step()
        info = _describe(group, settings, prepared=preparation.done())
        if info != written:
            with suppress(OSError):  # a full disk: tried again at the next step
                with atomic_file(info_file(settings)) as file:
                    file.write(msgspec.json.format(msgspec.json.encode(info)))
                written = info
        if group.ready and not announced:
            announced = True
            console.print(addresses(info, time.monotonic() - started))
        elif not info.prepared:
            prepared = time.monotonic()
        elif not announced and time.monotonic() - prepared > START_SECONDS:
            raise PipelineError(
                f"{', '.join(group.waiting_for())} not ready after {START_SECONDS} s: "
                f"see the logs in {settings.home / 'logs'}"
            )
        time.sleep(STEP_SECONDS)


def _describe(group: Supervisor, settings: Settings, *, prepared: bool) -> StackInfo:
    return StackInfo(
        pid=os.getpid(),
        keeper=os.getppid(),
        home=str(settings.home),
        ui=f"http://{reachable(settings.ui_host)}:{settings.ui_port}",
        viewer=viewer_base(settings),
        receiver_host=reachable(settings.receiver_host),
        receiver_port=settings.receiver_port if group.has(RECEIVER) else 0,
        receiver_ae_title=settings.receiver_ae_title,
        parts=group.pids(),
        prepared=prepared,
        ready=group.ready,
    )


def _stop_signals() -> Callable[[], bool]:
    """Take SIGTERM and SIGINT as the wish to stop."""
    received: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda caught, _: received.append(caught))
    return lambda: bool(received)
