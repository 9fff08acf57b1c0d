"""Those who send during a soak: one function is one round of one kind of sender.

Good senders note what was acknowledged; whatever goes wrong for them is a failure of the receiver.
Bad senders may be treated in any way, but the receiver has to end their connections in time.
"""

import random
import shutil
import socket
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pynetdicom import AE

from benchmarks.requestor import keep_responses
from benchmarks.senders import write_folders
from benchmarks.systems import DicomPipeline
from benchmarks.template import Template, uids
from benchmarks.wire import (
    Association,
    StoreMessage,
    WireError,
    associate,
    associate_request,
    data_pdu_head,
    instance_uid,
)

TIMEOUT_SECONDS: Final = 5
"""What the receiver's three timeouts are set to."""
_PATIENCE_SECONDS: Final = TIMEOUT_SECONDS + 15
"""How long a bad sender waits to be cut off, on a busy machine."""

_A_ABORT: Final = struct.pack(">BxIxxxx", 7, 4)
_BURST_BYTES: Final = 64 << 20
_BUDGET_POLL_SECONDS: Final = 0.05


class FailedError(Exception):
    """The receiver did something that it must not do."""


class Budget:
    """Spreads a number of bytes over the soak, so that a disk of ordinary size holds it."""

    def __init__(self, total: int, seconds: float) -> None:
        self._rate = total / seconds
        self._tokens = 0.0
        self._at = time.monotonic()
        self._lock = threading.Lock()

    def take(self, amount: int, stop: threading.Event) -> bool:
        """Wait until so many bytes may be sent; False once ``stop`` is set.

        One waits at a time, so that those who want little do not starve those who want much.
        """
        with self._lock:
            while not stop.is_set():
                now = time.monotonic()
                self._tokens = min(_BURST_BYTES, self._tokens + (now - self._at) * self._rate)
                self._at = now
                if self._tokens >= min(amount, _BURST_BYTES):
                    self._tokens -= amount
                    return True
                stop.wait(_BUDGET_POLL_SECONDS)
        return False


@dataclass
class World:
    """What the senders share."""

    server: DicomPipeline
    templates: Mapping[str, Template]
    folder: Path
    """For storescu's files."""
    budget: Budget
    stop: threading.Event = field(default_factory=threading.Event)
    """Set once the senders shall come to their end."""
    acknowledged: list[str] = field(default_factory=list)
    """SOP Instance UIDs; every thread appends."""
    rounds: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def number(self) -> int:
        """A number for an association that no other has."""
        return next(self._numbers)

    def may_send(self, template: Template, objects: int) -> bool:
        """Wait for the budget; False once the soak ends."""
        return self.budget.take(objects * len(template.data_set), self.stop)

    def associate(self, template: Template) -> Association:
        """An association with the receiver."""
        return associate(self.server.port, self.server.called, template.sop_class_uid)

    def connect(self) -> socket.socket:
        """A bare connection to the receiver."""
        return socket.create_connection(("127.0.0.1", self.server.port), _PATIENCE_SECONDS)


def fast_ct(world: World, _rng: random.Random) -> None:
    """CT slices as fast as they are taken."""
    _fast(world, world.templates["ct"], 20)


def fast_small(world: World, _rng: random.Random) -> None:
    """Small objects as fast as they are taken."""
    _fast(world, world.templates["small"], 200)


def _fast(world: World, template: Template, objects: int) -> None:
    if not world.may_send(template, objects):
        return
    association, number = world.associate(template), world.number()
    message = StoreMessage(template, association.max_pdu)
    for index in range(objects):
        _store(world, association, message, number, index)
    association.release()


def _store(
    world: World, association: Association, message: StoreMessage, number: int, index: int
) -> None:
    message_id = message.make(number, index)
    association.socket.sendall(message.buffer)
    if status := association.status(message_id):
        raise WireError(f"status {status:04X}")
    world.acknowledged.append(instance_uid(uids(number, index)))


def storescu(world: World, _rng: random.Random) -> None:
    """DCMTK's sender with a folder of new files."""
    template, objects = world.templates["small"], 20
    if not world.may_send(template, objects):
        return
    number = world.number()
    parent = world.folder / str(number)
    (folder,) = write_folders(template, parent, 1, objects, number)
    done = subprocess.run(
        [
            *("storescu", "-aec", world.server.called, "+sd"),
            *("127.0.0.1", str(world.server.port), folder),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    if done.returncode:
        raise FailedError(f"storescu: {done.stderr[-300:]}")
    world.acknowledged += [instance_uid(uids(number, index)) for index in range(objects)]
    shutil.rmtree(parent)


def pynetdicom_scu(world: World, _rng: random.Random) -> None:
    """The sender of pynetdicom, whose C-STORE is encoded from data sets."""
    template, objects = world.templates["small"], 10
    if not world.may_send(template, objects):
        return
    ds, number = dcmread(BytesIO(template.head + template.data_set)), world.number()
    entity = AE(ae_title="SOAK")
    entity.add_requested_context(ds.SOPClassUID, ds.file_meta.TransferSyntaxUID)
    association = entity.associate("127.0.0.1", world.server.port, ae_title=world.server.called)
    if not association.is_established:
        raise FailedError("pynetdicom: no association")
    keep_responses(association)
    for index in range(objects):
        values = uids(number, index)
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = instance_uid(values)
        ds.StudyInstanceUID = values["study"].decode().rstrip("\0")
        ds.SeriesInstanceUID = values["series"].decode().rstrip("\0")
        status = association.send_c_store(ds).get("Status")
        if status != 0:
            raise FailedError(f"pynetdicom: status {status}")
        world.acknowledged.append(ds.SOPInstanceUID)
    association.release()


def aborting(world: World, rng: random.Random) -> None:
    """One good object, then a part of another, then A-ABORT, a closed or a reset connection."""
    template = world.templates["ct"]
    if not world.may_send(template, 2):
        return
    association, number = world.associate(template), world.number()
    message = StoreMessage(template, association.max_pdu)
    _store(world, association, message, number, 0)
    message.make(number, 1)
    association.socket.sendall(message.buffer[: rng.randrange(len(message.buffer))])
    way = rng.choice(("abort", "close", "reset"))
    if way == "abort":
        association.socket.sendall(_A_ABORT)
    elif way == "reset":
        linger = struct.pack("ii", 1, 0)
        association.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    association.socket.close()


def half_pdu(world: World, rng: random.Random) -> None:
    """A PDU that never ends, before or within an association."""
    template = world.templates["small"]
    if rng.random() < 0.5:  # noqa: PLR2004 - a coin
        connection = world.connect()
        request = associate_request(world.server.called, template.sop_class_uid)
        connection.sendall(request[: rng.randrange(1, len(request))])
    else:
        association = world.associate(template)
        connection = association.socket
        message = StoreMessage(template, association.max_pdu)
        message.make(world.number(), 0)
        connection.sendall(message.buffer[: rng.randrange(1, 12)])
    _expect_end(connection, "half a PDU")


def garbage(world: World, rng: random.Random) -> None:
    """Random bytes instead of a request, or within an association."""
    noise = rng.randbytes(rng.randrange(1, 1 << 16))
    if rng.random() < 0.5:  # noqa: PLR2004 - a coin
        connection = world.connect()
    else:
        connection = world.associate(world.templates["small"]).socket
        if rng.random() < 0.5:  # noqa: PLR2004 - noise as a command, or as PDUs
            noise = data_pdu_head(min(len(noise), 4000), 3) + noise[:4000]
    try:
        connection.sendall(noise)
    except ConnectionError:
        connection.close()
        return
    _expect_end(connection, "garbage")


def idle(world: World, rng: random.Random) -> None:
    """A connection, or an association, without a word."""
    if rng.random() < 0.5:  # noqa: PLR2004 - a coin
        connection = world.connect()
    else:
        connection = world.associate(world.templates["small"]).socket
    _expect_end(connection, "silence")


def _expect_end(connection: socket.socket, after: str) -> None:
    """The receiver has to close a connection that is of no use."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    with connection:
        while (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            try:
                if not connection.recv(65536):
                    return
            except TimeoutError:
                break
            except ConnectionError:
                return
    raise FailedError(f"connection still open {_PATIENCE_SECONDS} s after {after}")


Round = Callable[[World, random.Random], None]

SENDERS: Final[Mapping[str, tuple[Round, int]]] = {
    "fast ct": (fast_ct, 2),
    "fast small": (fast_small, 2),
    "storescu": (storescu, 1),
    "pynetdicom": (pynetdicom_scu, 1),
    "aborting": (aborting, 2),
    "half PDU": (half_pdu, 4),
    "garbage": (garbage, 2),
    "idle": (idle, 4),
}
"""Each with the number of its threads."""


def keep_sending(world: World, name: str, seed: int) -> None:
    """Round after round until the soak ends."""
    rng = random.Random(seed)  # noqa: S311 - no secret
    send, _ = SENDERS[name]
    while not world.stop.wait(rng.uniform(0.05, 0.5)):
        try:
            send(world, rng)
        except (OSError, WireError, FailedError, subprocess.SubprocessError) as error:
            world.failures.append(f"{name}: {error!r}")
        else:
            world.rounds[name] += 1
