"""The receiver of this home: its port, its outbox, its file of peers."""

import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dicom_pipeline.cli.checks.check import Check, failure, ok, warning
from dicom_pipeline.cli.checks.embedded import opened
from dicom_pipeline.cli.network import port_is_free
from dicom_pipeline.cli.status import ReceiverStatus, read_receiver
from dicom_pipeline.errors import PipelineError
from dicom_pipeline.peers import load_peers
from dicom_pipeline.settings import Settings

SYSTEM: Final = "receiver"
UI: Final = "UI"


def check_receiver(settings: Settings) -> Iterator[Check]:
    """Whether it runs, or could."""
    status = read_receiver(settings)
    yield _listening(status, settings)
    yield _peers(settings)
    yield _outbox_lock(settings.outbox, settings.worker_node_id)
    yield _outboxes(status, settings)


def check_ui(settings: Settings) -> Iterator[Check]:
    """The UI's port."""
    yield _port(UI, "UI_PORT", settings.ui_host, settings.ui_port)


def _listening(status: ReceiverStatus, settings: Settings) -> Check:
    if status.running:
        found = f"listens as {status.ae_title} at {status.host}:{status.port}"
        return ok(SYSTEM, "reachable", found)
    return _port(SYSTEM, "RECEIVER_PORT", settings.receiver_host, settings.receiver_port)


def _port(system: str, variable: str, host: str, port: int) -> Check:
    where = f"{host}:{port}" if port else "any free port"
    if not port or port_is_free(host, port):
        return ok(system, "port", f"{where} is free" if port else where)
    remedy = f"fine if that is our own `up`; else stop it or set {variable}"
    return warning(system, "port", f"{where} is in use", remedy)


def _peers(settings: Settings) -> Check:
    try:
        peers = load_peers(settings.peers)
    except PipelineError as error:
        return failure(SYSTEM, "peers file", str(error), "correct the file")
    if settings.peers.exists():
        return ok(SYSTEM, "peers file", f"{len(peers.peer)} peers in {settings.peers}")
    remedy = f"write {settings.peers} to let other machines send"
    return ok(SYSTEM, "peers file", "none: only this machine may send", remedy)


def _outbox_lock(outbox: Path, node: str) -> Check:
    """One receiver process per outbox: the receiver holds a lock beside it."""
    lock = outbox.with_suffix(".lock")
    name = f"outbox of {node}"
    if not lock.exists():
        return ok(SYSTEM, name, "not used yet")
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            remedy = "a further receiver on this home needs a WORKER_NODE_ID of its own"
            return ok(SYSTEM, name, "in use by a running receiver", remedy)
    return ok(SYSTEM, name, "free")


def _outboxes(status: ReceiverStatus, settings: Settings) -> Check:
    """What was acknowledged and is in no queue yet."""
    waiting = 0
    for path in sorted(settings.outbox.parent.glob("*.db")):
        with opened(path) as file:
            waiting += file.number("SELECT COUNT(*) AS n FROM outbox")
    if waiting and not status.running:
        remedy = "start the receiver: it publishes them"
        return warning(SYSTEM, "outbox events", f"{waiting} wait for a receiver", remedy)
    return ok(SYSTEM, "outbox events", f"{waiting} wait to be published")
