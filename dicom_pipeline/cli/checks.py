"""Checks of this machine and the configuration, each with what to do about a problem."""

import fcntl
import importlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final

import msgspec
from rich.table import Table

from dicom_pipeline.cli.exits import FAILED, OK
from dicom_pipeline.cli.network import port_is_free
from dicom_pipeline.cli.screen import screen
from dicom_pipeline.errors import PipelineError
from dicom_pipeline.migrations import load_migrations, pending
from dicom_pipeline.peers import load_peers
from dicom_pipeline.settings import Settings

PYTHON: Final = (3, 11)

CODECS: Final = {
    "pylibjpeg": "pylibjpeg",
    "openjpeg": "pylibjpeg-openjpeg",
    "rle": "pylibjpeg-rle",
    "jpeg_ls": "pyjpegls",
    "gdcm": "python-gdcm",
    "imagecodecs": "imagecodecs",
}
"""Module of each codec library, and the package that brings it."""


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Check(msgspec.Struct):
    """One check."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


def checks(settings: Settings) -> Iterator[Check]:
    """Check everything. Nothing is changed."""
    yield _python()
    yield _home(settings)
    yield _disk(settings)
    yield from _ports(settings)
    yield _peers(settings)
    yield _outbox(settings)
    yield from _systems(settings)
    yield from _codecs()
    yield _storescu()


def _python() -> Check:
    found = sys.version.split()[0]
    good = sys.version_info >= PYTHON
    return Check(
        "python",
        Verdict.OK if good else Verdict.FAIL,
        found,
        "" if good else f"install Python {'.'.join(map(str, PYTHON))} or newer",
    )


def _home(settings: Settings) -> Check:
    folder = settings.home
    while not folder.exists():
        folder = folder.parent
    good = folder.is_dir() and os.access(folder, os.W_OK)
    return Check(
        "home folder",
        Verdict.OK if good else Verdict.FAIL,
        str(settings.home),
        "" if good else f"make {folder} writable, or set DICOM_PIPELINE_HOME to another folder",
    )


def _disk(settings: Settings) -> Check:
    folder = settings.storage
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    needed = settings.receiver_min_free_bytes
    found = f"{free / 1e9:.1f} GB free for {settings.storage}"
    if free < needed:
        remedy = "free space: below RECEIVER_MIN_FREE_BYTES every object is refused"
        return Check("disk", Verdict.FAIL, found, remedy)
    if free < 10 * needed:
        return Check("disk", Verdict.WARN, found, "plan for more space")
    return Check("disk", Verdict.OK, found)


def _ports(settings: Settings) -> Iterator[Check]:
    for variable, host, port in (
        ("RECEIVER_PORT", settings.receiver_host, settings.receiver_port),
        ("UI_PORT", settings.ui_host, settings.ui_port),
    ):
        where = f"{host}:{port}" if port else "any free port"
        if not port or port_is_free(host, port):
            yield Check(variable, Verdict.OK, f"{where} is free" if port else where)
        else:
            remedy = f"fine if that is our own `up`; else stop it or set {variable}"
            yield Check(variable, Verdict.WARN, f"{where} is in use", remedy)


def _peers(settings: Settings) -> Check:
    try:
        peers = load_peers(settings.peers)
    except PipelineError as error:
        return Check("peers file", Verdict.FAIL, str(error), "correct the file")
    if settings.peers.exists():
        return Check("peers file", Verdict.OK, f"{len(peers.peer)} peers in {settings.peers}")
    remedy = f"write {settings.peers} to let other machines send"
    return Check("peers file", Verdict.OK, "none: only this machine may send", remedy)


def _outbox(settings: Settings) -> Check:
    """One receiver process per outbox: the receiver holds a lock beside it."""
    lock = settings.outbox.with_suffix(".lock")
    name = f"outbox of {settings.worker_node_id}"
    if not lock.exists():
        return Check(name, Verdict.OK, "not used yet")
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "a further receiver on this home needs a WORKER_NODE_ID of its own"
            return Check(name, Verdict.OK, "in use by a running receiver", remedy)
    return Check(name, Verdict.OK, "free")


def _systems(settings: Settings) -> Iterator[Check]:
    """Reachable, and all migrations applied."""
    if not settings.home.exists():
        yield Check("queues and tables", Verdict.OK, "not created yet", "`up` creates them")
        return
    for name, probe in PROBES.items():
        try:
            found, waiting = probe(settings)
        except PipelineError as error:
            yield Check(name, Verdict.FAIL, str(error), "run `dicom-pipeline migrate`; see above")
            continue
        if waiting:
            remedy = "run `dicom-pipeline migrate`; `up` does it by itself"
            yield Check(name, Verdict.WARN, f"migrations pending: {', '.join(waiting)}", remedy)
        else:
            yield Check(name, Verdict.OK, found)


def _event_log(settings: Settings) -> tuple[str, list[str]]:
    from dicom_pipeline.event_log import open_event_log  # noqa: PLC0415 - only when probed
    from dicom_pipeline.messages import ALL_QUEUES  # noqa: PLC0415

    with open_event_log(settings) as log:
        partitions = sum(len(log.watermarks(topic)) for topic in ALL_QUEUES)
    return f"{len(ALL_QUEUES)} queues, {partitions} partitions", []


def _catalog(settings: Settings) -> tuple[str, list[str]]:
    from dicom_pipeline.catalog import open_catalog  # noqa: PLC0415 - only when probed

    with open_catalog(settings) as catalog:
        waiting = _pending(catalog.query, settings.catalog_url, "catalog")
        if waiting:
            return "", waiting
        rows = catalog.query("SELECT COUNT(*) AS n FROM abandoned_range")
    return f"up to date; {rows[0]['n']} ranges wait for an operator", []


def _warehouse(settings: Settings) -> tuple[str, list[str]]:
    from dicom_pipeline.warehouse import open_warehouse  # noqa: PLC0415 - only when probed

    with open_warehouse(settings) as warehouse:
        waiting = _pending(warehouse.query, settings.warehouse_url, "warehouse")
        if waiting:
            return "", waiting
        rows = warehouse.query("SELECT COUNT(*) AS n FROM dicom_object_meta")
    return f"up to date; {rows[0]['n']} receipts", []


def _pending(query: Callable[[str], list[dict[str, object]]], url: str, purpose: str) -> list[str]:
    """Names of the migrations that are not applied yet."""
    dialect = url.partition(":")[0].partition("+")[0] or "sqlite"
    rows = query("SELECT number, checksum FROM schema_migration")
    applied = {int(str(row["number"])): str(row["checksum"]) for row in rows}
    return [one.name for one in pending(load_migrations(dialect, purpose), applied)]


PROBES: Final[dict[str, Callable[[Settings], tuple[str, list[str]]]]] = {
    "event log": _event_log,
    "catalog": _catalog,
    "warehouse": _warehouse,
}
"""What each system says when it works, and its pending migrations; a `PipelineError` when it is
away or has no tables."""


def _codecs() -> Iterator[Check]:
    for module, package in CODECS.items():
        try:
            importlib.import_module(module)
            version = importlib.metadata.version(package)
        except (ImportError, importlib.metadata.PackageNotFoundError) as error:
            yield Check(package, Verdict.FAIL, str(error), f"pip install {package}")
        else:
            yield Check(package, Verdict.OK, version)


def _storescu() -> Check:
    from dicom_pipeline.demo.dcmtk import find_storescu  # noqa: PLC0415 - only when probed

    program = find_storescu()
    if program:
        return Check("DCMTK storescu", Verdict.OK, str(program))
    remedy = "optional: the demo then sends everything by itself (package dcmtk)"
    return Check("DCMTK storescu", Verdict.WARN, "not found", remedy)


def run_doctor(settings: Settings, *, as_json: bool) -> int:
    """The command `doctor`."""
    done = list(checks(settings))
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(done)).decode())  # noqa: T201
    else:
        colours = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}
        table = Table("check", "", "found", "what to do")
        for one in done:
            verdict = f"[{colours[one.verdict]}]{one.verdict}[/]"
            table.add_row(one.name, verdict, one.found, one.remedy)
        screen().print(table)
    return FAILED if any(one.verdict is Verdict.FAIL for one in done) else OK
