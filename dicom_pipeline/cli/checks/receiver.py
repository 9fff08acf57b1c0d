"""The receiver of this home: its port, its outbox, its file of peers."""

import fcntl
import http.client
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from dicom_pipeline.cli.checks.check import Check, failure, ok, warning
from dicom_pipeline.cli.checks.embedded import opened
from dicom_pipeline.cli.network import port_is_free, reachable
from dicom_pipeline.cli.status import ReceiverStatus, read_receiver
from dicom_pipeline.errors import PipelineError
from dicom_pipeline.peers import load_peers
from dicom_pipeline.settings import Settings

SYSTEM: Final = "receiver"
UI: Final = "UI"

_READY_SECONDS: Final = 5.0


def check_receiver(settings: Settings) -> Iterator[Check]:
    """Whether it runs, or could."""
    status = read_receiver(settings)
    yield _listening(status, settings)
    if status.running and status.http_port:
        yield _ready(reachable(settings.receiver_http_host), status.http_port)
    yield _peers(settings)
    yield _outbox_lock(settings.outbox, settings.worker_node_id)
    yield _outboxes(status, settings)


def check_ui(settings: Settings) -> Iterator[Check]:
    """The UI's port."""
    yield port_check(UI, "UI_PORT", settings.ui_host, settings.ui_port)


def _listening(status: ReceiverStatus, settings: Settings) -> Check:
    if status.running:
        found = f"listens as {status.ae_title} at {status.host}:{status.port}"
        return ok(SYSTEM, "reachable", found)
    return port_check(SYSTEM, "RECEIVER_PORT", settings.receiver_host, settings.receiver_port)


def _ready(host: str, port: int) -> Check:
    """What the receiver says of itself."""
    connection = http.client.HTTPConnection(host, port, timeout=_READY_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        said = msgspec.json.decode(answer.read())
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
        found = f"http://{host}:{port}/readyz does not answer ({type(error).__name__})"
        return warning(SYSTEM, "ready", found, "look at the receiver's log")
    finally:
        connection.close()
    if answer.status == http.HTTPStatus.OK:
        return ok(SYSTEM, "ready", "it takes objects")
    problems = said.get("failed", {})
    found = "; ".join(f"{name}: {problem['reason']}" for name, problem in problems.items())
    remedy = "; ".join(problem["remedy"] for problem in problems.values())
    return failure(SYSTEM, "ready", found or "it takes no objects", remedy)


def port_check(system: str, variable: str, host: str, port: int) -> Check:
    """Whether a server of ours could listen there."""
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
