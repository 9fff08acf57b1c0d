"""Inputs straight into the receiver's parts, without a network: thousands a second.

What is checked: nothing but an end comes out of a session; each end is told on the wire; what was
acknowledged, and only that, is stored whole with an event; nothing is left in ``incoming/``.
"""

import hashlib
import shutil
import socket
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Final, get_args
from unittest.mock import patch

from pynetdicom.pdu import A_ASSOCIATE_RQ

from benchmarks.fuzz import reference
from benchmarks.fuzz.conversations import CONTEXTS, MAX_PDU, Pdu, conversation, encode, mutate
from benchmarks.fuzz.requests import proxied, request
from dicom_pipeline.clock import HybridClock
from dicom_pipeline.messages import Event
from dicom_pipeline.storage import INCOMING, unfinished_in
from receiver.commitment.reports import Reporter
from receiver.commitment.requests import RefusedError, check_action, parse
from receiver.connection import Connection
from receiver.greeting import GoneError, Greeting, Wait
from receiver.greeting import RefusedError as GreetingRefusedError
from receiver.incoming import ObjectBuffer
from receiver.metrics import AssociationResult, Metrics
from receiver.part10 import read_head
from receiver.receipt import Receiving, Sender
from receiver.session import Context, Limits, Session
from receiver.wire import Wire

_ENDS: Final = frozenset(get_args(AssociationResult))
_NODE: Final = "fuzz"
_SENDER: Final = Sender("fuzz", "default", "127.0.0.1", "FUZZ", "DICOM_PIPELINE")
_CONTEXTS: Final = {number: Context(*both) for number, both in CONTEXTS.items()}
_SYNTAXES: Final = {number: transfer for number, (_, transfer) in CONTEXTS.items()}
_LIMITS: Final = Limits(object_bytes=60_000, objects=4, bytes=120_000)
_BUFFER_BYTES: Final = 8192
"""Most objects fit, some do not."""
_BATCH: Final = 500
_VARIANTS: Final = 8
"""Inputs that begin as the same conversation: to make one costs more than to change it."""
_SETTLE_SECONDS: Final = 60.0
_GREETINGS: Final = 0.1
_SMALL_READS: Final = 40
"""Then all at once: what comes later meets the same code."""
_ROOM: Final = 30_000
"""Bytes that a pair of sockets takes before they are read."""
_UNCHANGED: Final = 0.05
_SECONDS: Final = 10.0
"""No input keeps a thread busy for longer."""
_STORE_RESPONSE: Final = 0x8001


class FoundError(Exception):
    """A promise was not kept."""


class MemoryTransport:
    """A peer that has said everything already: in parts of any size, with an end of any kind."""

    def __init__(self, rng: Random, data: bytes) -> None:
        self.sent = bytearray()
        self._data = memoryview(data)
        self._rng = rng
        self._read = 0
        self._parts = rng.choice(((1 << 20,), (1, 7, 100), (MAX_PDU,), (5, 6, 12, 5000)))
        self._fills = rng.random() < 0.5  # noqa: PLR2004 - as a socket does, and TLS does not
        self._end = rng.choice((None, None, TimeoutError, ConnectionResetError))
        self._room = rng.choice((1 << 30,) * 9 + (rng.randrange(200),))
        """Bytes that can be sent before the connection breaks."""

    def receive(
        self,
        buffer: memoryview,
        timeout: float,  # noqa: ARG002 - nothing is waited for
        *,
        fill: bool,
        quick: bool = True,  # noqa: ARG002
    ) -> int:
        """A part, or the end."""
        if not buffer:
            raise FoundError("asked for nothing")
        part = len(buffer)
        if self._read < _SMALL_READS and not (fill and self._fills):
            part = self._rng.choice(self._parts)
            self._read += 1
        size = min(part, len(buffer), len(self._data))
        if size:
            buffer[:size] = self._data[:size]
            self._data = self._data[size:]
        elif self._end:
            raise self._end
        return size

    def sendall(self, data: bytes, /) -> None:
        """Keep it."""
        self.sent += data
        if len(self.sent) > self._room:
            raise BrokenPipeError

    def shutdown(self, how: int, /) -> None:
        """There is nothing to wait for."""


class Outbox:
    """Events, in memory."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def add(self, events: Sequence[Event]) -> None:
        """As the receiver's own."""
        self.events += events

    def alive(self) -> bool:
        """As the receiver's own."""
        return True


class Actions:
    """Parses action information as storage commitment does, and forgets it."""

    def handle_action(
        self,
        _sender: Sender,
        requested_class: str,
        requested_instance: str,
        action_type: int,
        data_set: bytes,
        transfer_syntax: str,
        _reporter: Reporter,
    ) -> int:
        """The status."""
        try:
            check_action(requested_class, requested_instance, action_type)
            parse(data_set, transfer_syntax)
        except RefusedError as refusal:
            return int(refusal.status)
        return 0


class MemoryFuzzer:
    """Runs inputs by their numbers; the first one that breaks a promise ends it."""

    def __init__(self, folder: Path, seed: int) -> None:
        """``folder``: where objects are stored for a moment."""
        self.ends: Counter[str] = Counter()
        """How sessions and greetings have ended."""
        self.acknowledged = 0
        self._seed = seed
        self._root = folder / "storage"
        self._outbox = Outbox()
        self._actions = Actions()
        self._receiving = Receiving(
            root=self._root,
            worker_node_id=_NODE,
            outbox=self._outbox,
            clock=HybridClock(),
            metrics=Metrics(["default"]),
        )
        self._conversation: tuple[int, list[Pdu]] | None = None
        self._promised: list[tuple[int, reference.Store]] = []

    def run(self, numbers: range) -> Iterator[int]:
        """Run these inputs; yields how many more are done, from time to time.

        Raises:
            FoundError: a promise was not kept; its notes say by which input.
        """
        with patch("receiver.session.ObjectBuffer", lambda: ObjectBuffer(_BUFFER_BYTES)):
            for done, number in enumerate(numbers, 1):
                try:
                    self._input(number)
                except Exception as error:
                    error.add_note(f"input {number} of seed {self._seed}")
                    raise
                if done % _BATCH == 0:
                    self.check()
                    yield _BATCH
        self.check()
        yield len(numbers) % _BATCH

    def stop(self) -> None:
        """End the receiving threads."""
        self._receiving.stop()

    def check(self) -> None:
        """Hold what was stored so far against what was acknowledged, and remove it.

        Raises:
            FoundError: they differ.
        """
        if not self._receiving.finisher.settled(_SETTLE_SECONDS):
            raise FoundError("objects are not finished in time")
        folder = self._receiving.incoming
        if left := {path.name for path in unfinished_in(folder.path)} | folder.in_flight():
            raise FoundError(f"left in incoming/: {left}")
        events, self._outbox.events = self._outbox.events, []
        stored = Counter((event.sop_uid, event.digest) for event in events)
        promised = Counter((store.sop_instance_uid, store.digest) for _, store in self._promised)
        for number, store in self._promised:
            key = store.sop_instance_uid, store.digest
            if stored[key] != promised[key]:
                raise FoundError(
                    f"input {number}: {promised[key]} acknowledged, {stored[key]} events: {store}"
                )
        if more := stored - promised:
            raise FoundError(f"never acknowledged: {more}")
        self._check_files(events)
        self.acknowledged += len(self._promised)
        self._promised.clear()

    def _check_files(self, events: Sequence[Event]) -> None:
        paths = {event.file_path: event for event in events}
        for path, event in paths.items():
            head = read_head(self._root / path)
            content = (self._root / path).read_bytes()
            digest = hashlib.sha256(event.transfer_syntax_uid.encode() + content[head.offset :])
            if digest.hexdigest() != event.digest or len(content) != event.file_size:
                raise FoundError(f"not what was acknowledged: {path}")
        tenants = [each for each in self._root.iterdir() if each.name != INCOMING]
        for tenant in tenants:
            for path in tenant.rglob("*.dcm"):
                if str(path.relative_to(self._root)) not in paths:
                    raise FoundError(f"no event for {path}")
            shutil.rmtree(tenant)

    def _input(self, number: int) -> None:
        rng = self._random(number)
        began = time.thread_time()
        if rng.random() < _GREETINGS:
            self._greet(rng)
        else:
            self._converse(rng, number)
        if time.thread_time() - began > _SECONDS:
            raise FoundError(f"took more than {_SECONDS:g} s of CPU time")

    def _random(self, what: object) -> Random:
        return Random(f"{self._seed}:{what}")  # noqa: S311 - no secret

    def _said(self, number: int) -> list[Pdu]:
        """The conversation that an input is made of."""
        first = number - number % _VARIANTS
        if self._conversation is None or self._conversation[0] != first:
            made = conversation(self._random(f"conversation {first}"), first)
            self._conversation = first, made
        return list(self._conversation[1])

    def _converse(self, rng: Random, number: int) -> None:
        said = self._said(number)
        unchanged = rng.random() < _UNCHANGED
        data = encode(said) if unchanged else mutate(rng, said)
        transport = MemoryTransport(rng, data)
        session = Session(
            Wire(transport, max_pdu=MAX_PDU, network_timeout=5, idle_timeout=5),
            _SENDER,
            _CONTEXTS,
            receiving=self._receiving,
            limits=_LIMITS,
            actions=self._actions,
            peer_max_pdu=16384,
        )
        end = session.serve()
        self.ends[end] += 1
        if end not in _ENDS or (unchanged and end not in {"released", "connection_lost"}):
            raise FoundError(f"the association has ended: {end}")
        self._note(number, data, bytes(transport.sent))

    def _note(self, number: int, data: bytes, sent: bytes) -> None:
        """Which of the objects in ``data`` were acknowledged in ``sent``."""
        responses = [
            each
            for each in reference.answers(sent)
            if each.get(0x0100) == _STORE_RESPONSE.to_bytes(2, "little")
        ]
        asked = list(reference.stores(data, _SYNTAXES)) if responses else []
        if len(responses) > len(asked):
            raise FoundError(f"{len(responses)} responses to {len(asked)} C-STORE requests")
        for response, store in zip(responses, asked, strict=False):
            if response[0x0900] == b"\0\0":
                self._promised.append((number, store))

    def _greet(self, rng: Random) -> None:
        data = request(rng)
        behind_proxy = rng.random() < 0.5  # noqa: PLR2004 - a coin
        if behind_proxy:
            data = proxied(rng, data)
        near, far = socket.socketpair()
        with far:
            connection = Connection(fileno=near.detach())
            deadline = time.monotonic() + _SECONDS
            connection.begin(("127.0.0.1", 1), deadline=deadline, network_timeout=_SECONDS)
            greeting = Greeting(
                connection,
                deadline=deadline,
                network_timeout=_SECONDS,
                behind_proxy=behind_proxy,
                tls=lambda: None,
            )
            try:
                self.ends[_hear(rng, greeting, far, data)] += 1
            finally:
                greeting.close()


def _hear(rng: Random, greeting: Greeting, far: socket.socket, data: bytes) -> str:
    """Let a greeting have ``data`` in parts; what has come of it."""
    size = min(max(rng.choice((50, 400, _ROOM)), len(data) // _SMALL_READS), _ROOM)
    try:
        for start in range(0, len(data), size):
            far.sendall(data[start : start + size])
            if greeting.proceed() is None:
                whole = greeting.connection.recv(1 << 20)
                A_ASSOCIATE_RQ().decode(whole)
                return "greeting: request"
        far.shutdown(socket.SHUT_WR)
        while wait := greeting.proceed():
            if wait is not Wait.READ:
                raise FoundError(f"waits for {wait} at the end of the connection")
    except GoneError:
        return "greeting: gone"
    except GreetingRefusedError as refusal:
        return f"greeting: {refusal.reason}"
    return "greeting: request"
