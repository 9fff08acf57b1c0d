"""A session over a transport in memory: what a peer says is a script, what it hears is kept."""

import struct
from contextlib import contextmanager
from types import SimpleNamespace

from benchmarks.fuzz import reference
from benchmarks.fuzz.conversations import Pdu, Value, command, encode
from dicom_pipeline_tests.receiver.objects import (
    CT,
    EXPLICIT,
    IMPLICIT,
    MR,
    SENDER,
    FakeOutbox,
    receiving_into,
    unfinished,
)
from receiver.session import Context, Limits, Session
from receiver.wire import Wire

MAX_PDU = 4096
VERIFICATION = "1.2.840.10008.1.1"
COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
CONTEXTS = {
    1: Context(CT, EXPLICIT),
    3: Context(MR, IMPLICIT),
    5: Context(VERIFICATION, IMPLICIT),
    7: Context(COMMITMENT, EXPLICIT),
}
P_DATA = 4
COMMAND, LAST = 1, 2
RELEASE = struct.pack(">BxI", 5, 4) + bytes(4)
RELEASED = struct.pack(">BxI", 6, 4) + bytes(4)
USER, PROVIDER = 0, 2


def aborted(source, reason=0):
    return struct.pack(">BxI", 7, 4) + bytes((0, 0, source, reason))


class Script:
    """A transport whose peer does one thing after another.

    ``bytes`` are read, at most all of them at a time; an exception is raised; anything that can
    be called is called. After the last the connection is closed.
    """

    def __init__(self, *parts):
        self.parts = list(parts)
        self.sent = bytearray()
        self.timeouts = []
        self.ended = False
        self.failure = None
        self.on_send = lambda: None

    def receive(self, buffer, timeout, *, fill, quick=True):
        assert len(buffer) > 0
        self.timeouts.append(timeout)
        while self.parts and not self.ended:
            part = self.parts.pop(0)
            if isinstance(part, bytes):
                size = min(len(part), len(buffer))
                buffer[:size] = part[:size]
                if part[size:]:
                    self.parts.insert(0, part[size:])
                return size
            if isinstance(part, BaseException):
                raise part
            part()
        return 0

    def sendall(self, data):
        if self.failure:
            raise self.failure
        self.sent += data
        self.on_send()

    def shutdown(self, how):
        self.ended = True


class Clock(SimpleNamespace):
    """Stands for the module ``time``: it goes only when it is told to."""

    def __init__(self):
        super().__init__(now=1000.0)

    def monotonic(self):
        return self.now

    def passes(self, seconds):
        def step():
            self.now += seconds

        return step


def session_over(transport, receiving, *, limits=None, actions=None, peer_max_pdu=0):
    return Session(
        Wire(transport, max_pdu=MAX_PDU, network_timeout=30, idle_timeout=60),
        SENDER,
        CONTEXTS,
        receiving=receiving,
        limits=limits or Limits(object_bytes=1 << 20),
        actions=actions,
        peer_max_pdu=peer_max_pdu,
    )


@contextmanager
def receiving_in(folder):
    """A real `Receiving` that must have nothing left in ``incoming/``."""
    receiving = receiving_into(folder / "storage", FakeOutbox())
    yield receiving
    assert unfinished(receiving.incoming.path) == []
    assert receiving.incoming.in_flight() == frozenset()


def answers(transport):
    """The responses in what was sent: operation, status."""
    return [
        (number(each, 0x0100), number(each, 0x0900)) for each in reference.answers(transport.sent)
    ]


def number(elements, element):
    return int.from_bytes(elements[element], "little")


def store_command(sent, message_id=1):
    request = sent.request
    return command(
        {
            0x0002: request.sop_class_uid,
            0x0100: 1,
            0x0110: message_id,
            0x0700: 0,
            0x0800: 1,
            0x1000: request.sop_instance_uid,
        }
    )


def request(operation, context_id=5, data=b"", **more):
    """A message whose command has no more than it needs."""
    told = {0x0002: VERIFICATION, 0x0100: operation, 0x0110: 1, 0x0800: 1 if data else 0x0101}
    told |= {int(key[1:], 16): value for key, value in more.items()}
    return message(context_id, command(told), data)


def message(context_id, command_set, data=b""):
    """The command in a PDU, the data set in as few as it takes."""
    pdus = [Pdu(P_DATA, [Value(context_id, COMMAND | LAST, command_set)])]
    size = MAX_PDU - 6
    for start in range(0, len(data), size):
        control = LAST if start + size >= len(data) else 0
        pdus.append(Pdu(P_DATA, [Value(context_id, control, data[start : start + size])]))
    return encode(pdus)


def store(sent, context_id=1):
    return message(context_id, store_command(sent), sent.data_set)


def pdu(*values):
    return Pdu(P_DATA, list(values)).encode()
