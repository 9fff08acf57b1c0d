"""Several receiver processes on one port: they are given its connections in turn.

Each is a whole receiver with an outbox and a name of its own. This process only starts them, starts
those again that die, accepts for them (`receiver.sharing`), and passes the signal to stop on.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.process_tree import die_with_parent
from dicom_pipeline.settings import Settings
from dicom_pipeline.storage import atomic_file
from receiver.server import STATUS_FILE, status_path
from receiver.sharing import Sharing

logger = logging.getLogger(__name__)

WORKER_OPTION: Final = "--worker"
"""Tells a started process that it is one of several; the descriptor of its place follows."""
CONFIGURATION_EXIT: Final = 2
_POLL_SECONDS: Final = 0.1
_RESTART_SECONDS: Final = 1.0
_CORRECTION_SECONDS: Final = 10.0
"""Until the next attempt of a process that finds its settings, or their files, of no use."""
_STOP_SECONDS: Final = 60.0


@dataclass
class _Child:
    """One receiver process, and what makes it differ from the others."""

    environment: Mapping[str, str]
    process: subprocess.Popen[bytes] | None = None
    not_before: float = 0.0

    def start(self, sharing: Sharing) -> None:
        with sharing.place() as place:
            self.process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", "receiver", WORKER_OPTION, str(place.fileno())],
                env={**os.environ, **self.environment},
                pass_fds=[place.fileno()],
                preexec_fn=die_with_parent,  # noqa: PLW1509 - one system call, libc is loaded
            )


class ReceiverProcesses:
    """The processes that share a port."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is started before `run`."""
        self._settings = settings
        self._children: list[_Child] = []
        self._status_file = settings.home / STATUS_FILE
        self._announced = False
        """All have been ready once."""

    def run(self, stop: threading.Event) -> int:
        """Run until ``stop`` is set; returns the exit status.

        Raises:
            ConfigurationError: the port is taken, or a process finds its settings of no use before
                all were ready: once they were, the others go on while it is tried again.
            RuntimeError: connections cannot be taken any more.
        """
        with ExitStack() as undo:
            listening = self._take_port(undo)
            port = int(listening.getsockname()[1])
            self._children = [
                _Child(self._environment(number, port))
                for number in range(self._settings.receiver_processes)
            ]
            undo.callback(self._end)
            sharing = Sharing(listening)
            undo.callback(sharing.stop)
            while not stop.is_set():
                if not sharing.alive():
                    raise RuntimeError("nobody takes connections any more")
                for child in self._children:
                    self._look_after(child, sharing)
                if not self._announced and self._all_ready():
                    self._announce(port)
                    undo.callback(self._status_file.unlink, missing_ok=True)
                    self._announced = True
                stop.wait(_POLL_SECONDS)
        codes = {each.process.returncode for each in self._children if each.process}
        return CONFIGURATION_EXIT if CONFIGURATION_EXIT in codes else int(any(codes))

    def _take_port(self, undo: ExitStack) -> socket.socket:
        """Bind the port: nobody can connect before a process is ready."""
        settings = self._settings
        port = undo.enter_context(
            socket.socket(_family(settings.receiver_host), socket.SOCK_STREAM)
        )
        port.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            port.bind((settings.receiver_host, settings.receiver_port))
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {settings.receiver_host}:{settings.receiver_port} "
                f"({error.strerror}): correct RECEIVER_HOST and RECEIVER_PORT"
            ) from error
        return port

    def _environment(self, number: int, port: int) -> dict[str, str]:
        settings = self._settings
        changes = {
            "WORKER_NODE_ID": f"{settings.worker_node_id}-{number}",
            "RECEIVER_PORT": str(port),
        }
        if settings.receiver_http_port:
            changes["RECEIVER_HTTP_PORT"] = str(settings.receiver_http_port + number)
        return changes

    def _look_after(self, child: _Child, sharing: Sharing) -> None:
        if child.process is None:
            if time.monotonic() >= child.not_before:
                self._start(child, sharing)
            return
        code = child.process.poll()
        if code is None:
            return
        if code == CONFIGURATION_EXIT and not self._announced:
            raise ConfigurationError(
                f"receiver {child.environment['WORKER_NODE_ID']} cannot run with these settings: "
                "see its own message above"
            )
        logger.error(
            "receiver process has died, starting it again",
            extra={"worker": child.environment["WORKER_NODE_ID"], "exit": code},
        )
        pause = _CORRECTION_SECONDS if code == CONFIGURATION_EXIT else _RESTART_SECONDS
        child.process, child.not_before = None, time.monotonic() + pause

    def _start(self, child: _Child, sharing: Sharing) -> None:
        name = child.environment["WORKER_NODE_ID"]
        status_path(self._settings.home, name).unlink(missing_ok=True)  # a killed one's
        try:
            child.start(sharing)
        except OSError as error:  # no memory, no processes: the others go on
            child.not_before = time.monotonic() + _RESTART_SECONDS
            logger.error(  # noqa: TRY400 - the message says it all
                "receiver process cannot be started now: %s", error.strerror, extra={"worker": name}
            )

    def _all_ready(self) -> bool:
        home = self._settings.home
        return all(
            status_path(home, each.environment["WORKER_NODE_ID"]).exists()
            for each in self._children
        )

    def _announce(self, port: int) -> None:
        settings = self._settings
        status = {
            "pid": os.getpid(),
            "host": settings.receiver_host,
            "port": port,
            "ae_title": settings.receiver_ae_title,
            "http_port": settings.receiver_http_port,
        }
        with atomic_file(self._status_file) as file:
            file.write(json.dumps(status).encode())

    def _end(self) -> None:
        """Let all finish what is under way; none outlives us."""
        running = [each.process for each in self._children if each.process]
        for process in running:
            process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
