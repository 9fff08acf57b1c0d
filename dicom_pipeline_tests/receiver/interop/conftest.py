"""Receiver processes that the tests of this folder share."""

from contextlib import contextmanager

import pytest

from dicom_pipeline_tests.receiver.interop.inbox import PEERS, VARIABLES, Inbox
from dicom_pipeline_tests.receiver.running import process


@contextmanager
def _inbox(home, loop):
    (home / "peers.toml").write_text(PEERS)
    with process(home, RECEIVER_LOOP=loop, **VARIABLES) as running:
        yield Inbox(home, running.port)
        assert running.poll() is None


@pytest.fixture(scope="package")
def fast(tmp_path_factory):
    """A receiver with the loop of our own."""
    with _inbox(tmp_path_factory.mktemp("fast"), "fast") as inbox:
        yield inbox


@pytest.fixture(scope="package")
def public(tmp_path_factory):
    """One with pynetdicom's loop."""
    with _inbox(tmp_path_factory.mktemp("public"), "public") as inbox:
        yield inbox


@pytest.fixture(params=["fast", "public"])
def either(request):
    """Each of the two, in turn."""
    return request.getfixturevalue(request.param)
