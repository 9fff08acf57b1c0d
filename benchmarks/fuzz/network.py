"""Inputs over the wire: a receiver process, hostile senders, and a good one that must not notice.

Few, because every association costs pynetdicom's negotiation. Checked are the good sender's
statuses, the events of all that it sent, that every hostile connection is ended, and that the
process lives, holds no more than before, and has logged no failure of its own.
"""

import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Final

from benchmarks.fuzz.conversations import conversation, mutate
from benchmarks.fuzz.requests import request, sound_request
from benchmarks.loads import LOADS
from benchmarks.soak import Level, level
from benchmarks.systems import DicomPipeline
from benchmarks.template import Template, uids
from benchmarks.wire import StoreMessage, WireError, associate, instance_uid
from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.messages import STORAGE_QUEUE, OffsetRange, decode_event
from dicom_pipeline.storage import unfinished

RECEIVER_SECONDS: Final = 2
"""The receiver's timeouts."""
OVERRIDES: Final = {
    "RECEIVER_REQUEST_TIMEOUT_SECONDS": str(RECEIVER_SECONDS),
    "RECEIVER_NETWORK_TIMEOUT_SECONDS": str(RECEIVER_SECONDS),
    "RECEIVER_IDLE_TIMEOUT_SECONDS": str(RECEIVER_SECONDS),
    "RECEIVER_MAX_OBJECT_BYTES": str(1 << 20),
}
_PATIENCE_SECONDS: Final = 30.0
_SETTLE_SECONDS: Final = 60.0
_WARM_UP: Final = 50
_REQUESTS: Final = 0.3
_SILENT: Final = 0.03
_OBJECTS: Final = 50
"""The good sender makes a new association after so many."""
_PAUSE_SECONDS: Final = 0.005
_LINES_TOLD: Final = 20
"""A traceback's lines follow the one that tells it."""
_BAD_LINES: Final = ("Traceback", "CRITICAL", "internal error", "association failed", "given up")


@dataclass
class GoodSender(threading.Thread):
    """Sends small objects, one association after another, until it is stopped."""

    server: DicomPipeline
    stopping: threading.Event = field(default_factory=threading.Event)
    acknowledged: list[str] = field(default_factory=list)
    failure: str = ""

    def __post_init__(self) -> None:
        super().__init__(daemon=True)

    __hash__ = threading.Thread.__hash__

    def run(self) -> None:
        """Until stopped, or until something does not go well."""
        template = LOADS["small"]()
        try:
            for number in count(1):
                if self.stopping.is_set():
                    return
                self._associate(template, number)
        except (OSError, WireError) as error:
            self.failure = f"the good sender after {len(self.acknowledged)} objects: {error!r}"

    def _associate(self, template: Template, number: int) -> None:
        association = associate(self.server.port, self.server.called, template.sop_class_uid)
        message = StoreMessage(template, association.max_pdu)
        for index in range(_OBJECTS):
            message_id = message.make(number, index)
            association.socket.sendall(message.buffer)
            if status := association.status(message_id):
                raise WireError(f"status {status:04X}")
            self.acknowledged.append(instance_uid(uids(number, index)))
            if self.stopping.wait(_PAUSE_SECONDS):
                break
        association.release()

    def stop(self) -> None:
        """After the object that is under way."""
        self.stopping.set()
        self.join(_PATIENCE_SECONDS)


class NetworkFuzzer:
    """Runs inputs by their numbers against a receiver process."""

    def __init__(self, server: DicomPipeline, seed: int) -> None:
        """``server``: started with `OVERRIDES`."""
        self.ends: Counter[str] = Counter()
        self.findings: list[str] = []
        self._server = server
        self._seed = seed
        self._good = GoodSender(server)
        self._before: Level | None = None

    def run(self, numbers: range) -> Iterator[int]:
        """Run these inputs, each over a connection of its own; yields after each."""
        self._good.start()
        for done, number in enumerate(numbers):
            if done == min(_WARM_UP, len(numbers) - 1):
                self._before = level(self._server.pid)
            try:
                self.ends[self._input(number)] += 1
            except OSError as error:
                self.findings.append(f"input {number} of seed {self._seed}: {error!r}")
            if self.findings or self._good.failure or not self._server.running:
                return
            yield 1

    def check(self) -> list[str]:
        """End the good sender; returns all that was found."""
        self._good.stop()
        if self._good.failure:
            self.findings.append(self._good.failure)
        if not self._server.running:
            return [*self.findings, "the receiver's process has ended"]
        self._check_level()
        self._check_events()
        self._check_log()
        return self.findings

    @property
    def acknowledged(self) -> int:
        """Objects of the good sender."""
        return len(self._good.acknowledged)

    def _input(self, number: int) -> str:
        rng = Random(f"{self._seed}:{number}")  # noqa: S311 - no secret
        address = ("127.0.0.1", self._server.port)
        with socket.create_connection(address, _PATIENCE_SECONDS) as connection:
            if rng.random() < _REQUESTS:
                data = request(rng)
            else:
                connection.sendall(sound_request())
                accepted = _pdu(connection)
                if accepted[:1] != b"\2":
                    return f"not accepted: {accepted[:1].hex() or 'closed'}"
                data = mutate(rng, conversation(rng, number))
            with suppress(ConnectionError):
                connection.sendall(data)
                if rng.random() > _SILENT:
                    connection.shutdown(socket.SHUT_WR)
            return _end(connection)

    def _check_level(self) -> None:
        """What is held without senders must be near what was held with one and a half."""
        deadline = time.monotonic() + _SETTLE_SECONDS
        while self._before and not (now := level(self._server.pid)).near(self._before):
            if time.monotonic() > deadline:
                self.findings.append(f"not back to its level: {self._before} before, {now} after")
                return
            time.sleep(0.2)

    def _check_events(self) -> None:
        deadline = time.monotonic() + _SETTLE_SECONDS
        while missing := set(self._good.acknowledged) - self._events():
            if time.monotonic() > deadline:
                self.findings.append(f"acknowledged without an event: {sorted(missing)[:5]}")
                return
            time.sleep(0.5)
        if left := list(unfinished(self._server.settings.storage)):
            self.findings.append(f"{len(left)} objects still in incoming/")

    def _events(self) -> set[str]:
        found = set()
        with open_event_log(self._server.settings) as log:
            topic_id = log.topic_id(STORAGE_QUEUE)
            for partition, mark in log.watermarks(STORAGE_QUEUE).items():
                offsets = OffsetRange(STORAGE_QUEUE, topic_id, partition, mark.low, mark.high)
                found |= {decode_event(record.value).sop_uid for record in log.read(offsets)}
        return found

    def _check_log(self) -> None:
        lines = (self._server.folder / "log.txt").read_text(errors="replace").splitlines()
        bad = [at for at, line in enumerate(lines) if any(each in line for each in _BAD_LINES)]
        for at in bad[:5]:
            self.findings.append("\n".join(("log:", *lines[at : at + _LINES_TOLD])))


def _pdu(connection: socket.socket) -> bytes:
    """A whole PDU, or what came of it before the connection was closed."""
    data = b""
    with suppress(ConnectionError):
        while len(data) < 6 or len(data) < 6 + int.from_bytes(data[2:6]):  # noqa: PLR2004 - a head
            if not (more := connection.recv(65536)):
                break
            data += more
    return data


def _end(connection: socket.socket) -> str:
    """How the receiver ends a connection, which it has to in time."""
    last = b""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            data = connection.recv(65536)
        except ConnectionError:
            return "reset"
        if not data:
            return {7: "aborted", 6: "released", 3: "rejected"}.get(
                (last[-10:] or b"\0")[0], "closed"
            )
        last = last[-10:] + data
    raise TimeoutError("the connection is still open")
