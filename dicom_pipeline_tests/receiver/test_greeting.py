"""Requests that pynetdicom would take, and then fail over in a thread of its own."""

import socket
import struct
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.requests import request, sound_request
from receiver.connection import Connection
from receiver.greeting import GoneError, Greeting, RefusedError

ABORT = struct.pack(">BxI", 7, 4) + bytes((0, 0, 2, 6))


def heard(data):
    """Whether a greeting passes ``data`` on, and what it has sent."""
    near, far = socket.socketpair()
    with far:
        greeting = Greeting(
            Connection(fileno=near.detach()),
            deadline=time.monotonic() + 20,
            network_timeout=20,
            behind_proxy=False,
            tls=lambda: None,
        )
        far.sendall(data)
        far.shutdown(socket.SHUT_WR)
        try:
            while greeting.proceed():
                pass
            passed = True
        except (RefusedError, GoneError):
            passed = False
        greeting.close()
        sent = b""
        with suppress(ConnectionResetError):  # more was sent than the request's length says
            sent = far.recv(100)
        return passed, sent


def with_items(*items):
    """A request whose one presentation context holds these items."""
    sound = sound_request()
    inner = b"".join(struct.pack(">BxH", kind, len(value)) + value for kind, value in items)
    context = struct.pack(">BxHB3x", 0x20, 4 + len(inner), 1) + inner
    first, last = sound.index(b"\x20\0", 74), sound.rindex(b"\x50\0")
    body = sound[6:first] + context + sound[last:]
    return struct.pack(">BxI", 1, len(body)) + body


ABSTRACT, TRANSFER = (0x30, b"1.2.840.10008.1.1"), (0x40, b"1.2.840.10008.1.2")


def test_a_sound_request_is_passed_on():
    assert heard(sound_request()) == (True, b"")
    assert heard(with_items(ABSTRACT, TRANSFER)) == (True, b"")


@pytest.mark.parametrize("items", [(), (ABSTRACT,), (TRANSFER,)], ids=["empty", "no TS", "no AS"])
def test_a_context_without_its_syntaxes_is_aborted(items):
    assert heard(with_items(*items)) == (False, ABORT)


@settings(max_examples=100, deadline=None)
@given(st.randoms(use_true_random=False))
def test_every_request_is_passed_on_or_refused(rng):
    heard(request(rng))
