"""The receiver as a whole: its parts, started and stopped in order.

pynetdicom is imported when the receiver starts, not with this module: it takes a second.
"""

import errno
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Final

from dicom_pipeline.clock import HybridClock, wall_clock_us
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log import EventLog, open_event_log
from dicom_pipeline.messages import ALL_QUEUES
from dicom_pipeline.peers import load_peers
from dicom_pipeline.settings import Settings
from dicom_pipeline.storage import INCOMING, atomic_file, make_directories, unfinished
from receiver.adoption import adopt_orphans
from receiver.commitment.records import day_of
from receiver.failures import described
from receiver.forwarder import Forwarder
from receiver.gauges import Gauges
from receiver.http import HttpServer
from receiver.locking import NodeLock
from receiver.metrics import Metrics
from receiver.outbox import Outbox
from receiver.readiness import (
    disk_has_space,
    free_bytes,
    listening,
    not_stopping,
    outbox_takes_events,
    storage_is_writable,
)
from receiver.receipt import Receiving
from receiver.recovery import recover

if TYPE_CHECKING:
    from receiver.provider import StorageProvider

logger = logging.getLogger(__name__)

_LOCK_SECONDS: Final = 2.0
"""A starting neighbour may hold the outbox for a moment to see whether it is an orphan."""
_ADOPTION_SECONDS: Final = 60.0
"""One of several processes is started again at once: a neighbour may be finishing what it left."""
_RECOVERY_SECONDS: Final = 60.0
_FINISH_SECONDS: Final = 30.0
_DRAIN_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.02


STATUS_FILE: Final = "receiver.json"
"""In the home folder, while a receiver listens: where, and who."""


def status_path(home: Path, worker_node_id: str) -> Path:
    """The status file of one of several processes that share a port."""
    return home / f"receiver.{worker_node_id}.json"


def open_log_with_topics(settings: Settings) -> EventLog:
    """The event log that the settings choose; the embedded one with every queue in it.

    On servers `dicom-pipeline migrate` creates the queues: a receiver with a mistyped setting would
    fill others than those that are read.
    """
    log = open_event_log(settings)
    if settings.event_log_url:
        return log
    try:
        log.create_topics(ALL_QUEUES, settings.event_log_partitions)
    except BaseException:
        log.close()
        raise
    return log


class Receiver:
    """One receiver process's parts."""

    def __init__(
        self,
        settings: Settings,
        open_log: Callable[[Settings], EventLog] = open_log_with_topics,
        place: socket.socket | None = None,
    ) -> None:
        """Nothing is opened before `start`.

        Args:
            settings: the receiver's.
            open_log: opens the event log with its topics.
            place: where one of several processes takes its connections (`receiver.sharing`).
        """
        self.settings = settings
        self.port = 0
        """The real port, once started."""
        self.http_port: int | None = None
        """The real port of metrics and health, once started, if there is one."""
        self._forgotten_on = 0
        self._open_log = open_log
        self._place = place
        self._stopping = threading.Event()
        self._recovery = threading.Thread(
            target=self._keep_recovering, name="recovery", daemon=True
        )
        self._status_file = settings.home / STATUS_FILE
        if settings.receiver_processes > 1:
            self._status_file = status_path(settings.home, settings.worker_node_id)

    def start(self) -> None:
        """Recover what earlier processes left, under this name or another, then listen.

        Raises:
            ConfigurationError: the peers, the storage, the outbox or the address cannot be used.
        """
        from receiver.commitment.addresses import PeerAddresses  # noqa: PLC0415
        from receiver.commitment.reporting import Hooks, Pauses  # noqa: PLC0415
        from receiver.commitment.service import Commitment  # noqa: PLC0415
        from receiver.provider import StorageProvider, quiet_libraries  # noqa: PLC0415

        settings = self.settings
        peers = load_peers(settings.peers)
        quiet_libraries()
        incoming = settings.storage / INCOMING / settings.worker_node_id
        _require_writable(settings.storage, incoming)
        self.metrics = Metrics({peer.tenant for peer in peers.peer})
        one_of_several = settings.receiver_processes > 1
        lock_seconds = _ADOPTION_SECONDS if one_of_several else _LOCK_SECONDS
        self.outbox = Outbox(settings.outbox, lock_seconds)
        with ExitStack() as undo:
            undo.callback(self.outbox.close)
            self._node = NodeLock(incoming, lock_seconds)
            undo.callback(self._node.close)
            _require_links(settings.storage, self._node.path)
            recover(settings.storage, incoming, self.outbox)
            adopt_orphans(settings.storage, self.outbox)
            self.receiving = Receiving(
                root=settings.storage,
                worker_node_id=settings.worker_node_id,
                outbox=self.outbox,
                clock=HybridClock(self.outbox.last_version()),
                metrics=self.metrics,
                min_free_bytes=settings.receiver_min_free_bytes,
                wait_for_event=settings.receiver_acknowledge == "queued",
            )
            undo.callback(self.receiving.stop)
            self.commitment = Commitment(
                root=settings.storage,
                outboxes=settings.outbox.parent,
                path=settings.home / "commitment" / settings.outbox.name,
                address_of=PeerAddresses(peers, settings),
                settled=self.receiving.finisher.settled,
                pauses=Pauses(give_up=settings.receiver_commitment_retry_hours * 3600.0),
                hooks=Hooks(
                    requested=self.metrics.commitment_requested,
                    evaluated=self.metrics.commitment_evaluated,
                    reported=self.metrics.commitment_reported,
                ),
            )
            undo.callback(self.commitment.stop)
            self._forwarder = Forwarder(self.outbox, lambda: self._open_log(settings), self.metrics)
            self._provider = StorageProvider(
                settings, peers, self.receiving, self.metrics, self.commitment
            )
            self._http = self._serve_http()
            if self._http:
                undo.callback(self._http.stop)
            self.port = _listen(self._provider, settings, self._place)
            undo.pop_all()
        self._forwarder.start()
        self.commitment.start()
        self._recovery.start()
        self._write_status()
        logger.info(
            "receiver is ready",
            extra={
                "host": settings.receiver_host,
                "port": self.port,
                "ae_title": settings.receiver_ae_title,
            },
        )

    def _serve_http(self) -> HttpServer | None:
        """What can be seen of the receiver from outside, when the settings name a port for it."""
        settings = self.settings
        free = partial(free_bytes, settings.storage)
        self.metrics.watch(
            Gauges(
                outbox=self.outbox.depth,
                unfinished_receipts=lambda: sum(
                    1 for _ in unfinished(settings.storage, settings.worker_node_id)
                ),
                free_bytes=free,
                min_free_bytes=settings.receiver_min_free_bytes,
                max_associations=settings.receiver_max_associations,
                commitment=self.commitment.waiting,
                certificate_expiry=(
                    self._provider.certificate_expiry if settings.receiver_tls_certificate else None
                ),
            )
        )
        if settings.receiver_http_port is None:
            return None
        server = HttpServer(
            settings.receiver_http_host,
            settings.receiver_http_port,
            metrics=self.metrics,
            alive={
                "listener": lambda: self._provider.listening() or self._stopping.is_set(),
                "outbox": self.outbox.alive,
                "finisher": self.receiving.finisher.alive,
                "forwarder": self._forwarder.alive,
            },
            ready={
                "listening": listening(self._provider.listening),
                "stopping": not_stopping(self._stopping.is_set),
                "disk": disk_has_space(free, settings.receiver_min_free_bytes),
                "storage": storage_is_writable(self.receiving.incoming.path),
                "outbox": outbox_takes_events(self.outbox.probe),
            },
        )
        self.http_port = server.start()
        return server

    def stop(self) -> None:
        """Finish the objects in flight, publish what is left for a moment, and let go."""
        self._stopping.set()
        self._provider.stop_listening()
        deadline = time.monotonic() + _FINISH_SECONDS
        while time.monotonic() < deadline:
            self._provider.stop_associations()
            if not self._provider.associations():
                break
            time.sleep(_POLL_SECONDS)
        if self._http:
            self._http.stop()
        self.receiving.stop()
        self.commitment.stop()
        self._recovery.join()
        self._forwarder.stop(_DRAIN_SECONDS)
        depth = self.outbox.depth()
        self._node.close()
        self.outbox.close()
        self._status_file.unlink(missing_ok=True)
        logger.info("receiver stopped", extra={"events_left": depth.events})

    def _keep_recovering(self) -> None:
        while not self._stopping.wait(_RECOVERY_SECONDS):
            try:
                recover(
                    self.settings.storage,
                    self.receiving.incoming.path,
                    self.outbox,
                    self.receiving.incoming.in_flight,
                )
                adopt_orphans(self.settings.storage, self.outbox)
                self._forget_records()
            except Exception as error:  # noqa: BLE001 - the next pass tries again
                logger.error(  # noqa: TRY400 - a traceback may quote values
                    "recovery pass failed", extra=described(error)
                )

    def _forget_records(self) -> None:
        """Once a day, and after a start: what is too old for storage commitment."""
        today = day_of(wall_clock_us())
        if self._forgotten_on != today:
            self.outbox.forget_records(today - self.settings.receiver_commitment_days)
            self._forgotten_on = today

    def _write_status(self) -> None:
        status = {
            "pid": os.getpid(),
            "host": self.settings.receiver_host,
            "port": self.port,
            "ae_title": self.settings.receiver_ae_title,
            "http_port": self.http_port,
        }
        try:
            with atomic_file(self._status_file) as file:
                file.write(json.dumps(status).encode())
        except OSError as error:  # a full disk: objects are refused one by one, not the receiver
            logger.error("status file not written", extra=described(error))  # noqa: TRY400


def _require_writable(storage: Path, incoming: Path) -> None:
    """Make the folder for what is being received.

    A disk that is full now is no reason not to start: objects are refused one by one until it has
    space.

    Raises:
        ConfigurationError: nothing can be written there.
    """
    try:
        make_directories(incoming)
        with TemporaryFile(dir=incoming):
            pass
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT} and incoming.is_dir():
            return
        raise ConfigurationError(
            f"STORAGE_ROOT {storage} cannot be written ({error.strerror}): mount it writable, give "
            "the receiver's user the right to write there, or correct the setting"
        ) from error


def _require_links(storage: Path, file: Path) -> None:
    """Try a second name for a file.

    Raises:
        ConfigurationError: the file system has no hard links, without which no object would get
            its name.
    """
    second = file.with_name(f"{file.name}.probe")
    second.unlink(missing_ok=True)
    try:
        os.link(file, second)
    except OSError as error:
        another_users = error.errno == errno.EPERM and file.stat().st_uid != os.geteuid()
        if another_users or error.errno not in {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}:
            return
        raise ConfigurationError(
            f"STORAGE_ROOT {storage} is on a file system without hard links ({error.strerror}): "
            "put it on one that has them"
        ) from error
    second.unlink()


def _listen(provider: "StorageProvider", settings: Settings, place: socket.socket | None) -> int:
    try:
        return provider.start(place)
    except OSError as error:
        remedy = (
            "stop the program that uses it, or set RECEIVER_PORT"
            if error.errno == errno.EADDRINUSE
            else "correct RECEIVER_HOST and RECEIVER_PORT"
        )
        raise ConfigurationError(
            f"cannot listen on {settings.receiver_host}:{settings.receiver_port} "
            f"({error.strerror}): {remedy}"
        ) from error
