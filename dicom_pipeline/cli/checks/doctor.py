"""The command `doctor`: every check, as a table or as JSON."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec
from rich.markup import escape
from rich.table import Table

from dicom_pipeline.cli.checks import (
    cache,
    catalog,
    dagster_storage,
    event_log,
    file_server,
    folders,
    machine,
    receiver,
    warehouse,
)
from dicom_pipeline.cli.checks.bounds import SYSTEM_SECONDS, Checks, bounded
from dicom_pipeline.cli.checks.check import Check, Verdict
from dicom_pipeline.cli.exits import FAILED, OK
from dicom_pipeline.cli.screen import screen
from dicom_pipeline.settings import Settings

SYSTEMS: Final[Mapping[str, Checks]] = {
    machine.SYSTEM: machine.check_machine,
    folders.HOME: folders.check_home,
    folders.STORAGE: folders.check_storage,
    folders.RENDITIONS: folders.check_renditions,
    folders.MANIFESTS: folders.check_manifests,
    receiver.SYSTEM: receiver.check_receiver,
    receiver.UI: receiver.check_ui,
    file_server.SYSTEM: file_server.check_file_server,
    event_log.SYSTEM: event_log.check_event_log,
    catalog.SYSTEM: catalog.check_catalog,
    warehouse.SYSTEM: warehouse.check_warehouse,
    cache.SYSTEM: cache.check_cache,
    dagster_storage.SYSTEM: dagster_storage.check_dagster_storage,
}
"""The checks of each system, in the order they are shown in."""

_IMPORT_SECONDS: Final = 120.0
"""Loading the codec libraries asks nobody, and takes long on a busy machine."""

_COLOURS: Final = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def checks(settings: Settings, begin: Callable[[str], None] = lambda _: None) -> Iterator[Check]:
    """Check everything, one system after the other. Nothing is changed.

    ``begin`` is told the system that is looked at next.
    """
    for system, of_system in SYSTEMS.items():
        begin(system)
        seconds = _IMPORT_SECONDS if system == machine.SYSTEM else SYSTEM_SECONDS
        yield from bounded(system, of_system, settings, seconds)


def run_doctor(settings: Settings, *, as_json: bool) -> int:
    """The command `doctor`."""
    if as_json:
        done = list(checks(settings))
        print(msgspec.json.format(msgspec.json.encode(done)).decode())  # noqa: T201
    else:
        console = screen()
        with console.status("checking") as status:  # shown at a terminal only
            done = list(checks(settings, lambda system: status.update(f"checking {system}")))
        console.print(_table(done))
    return FAILED if any(one.verdict is Verdict.FAIL for one in done) else OK


def _table(done: list[Check]) -> Table:
    table = Table("system", "check", "", "found", "what to do")
    before = ""
    for one in done:
        system = one.system if one.system != before else ""
        if system and before:
            table.add_section()
        before = one.system
        verdict = f"[{_COLOURS[one.verdict]}]{one.verdict}[/]"
        table.add_row(system, one.name, verdict, escape(one.found), escape(one.remedy))
    return table
