"""What the soak measures by."""

import threading
import time

import pytest

from benchmarks.soak import Level, undelivered
from benchmarks.soak_senders import Budget
from benchmarks.systems import DicomPipeline
from dicom_pipeline.event_log import Message, open_event_log
from dicom_pipeline.messages import STORAGE_QUEUE, encode
from dicom_pipeline_tests.events import an_event

BEFORE = Level(threads=7, descriptors=13, rss=100 << 20)


@pytest.mark.parametrize(
    ("after", "near"),
    [
        (BEFORE, True),
        (Level(9, 17, 164 << 20), True),
        (Level(10, 13, 100 << 20), False),
        (Level(7, 18, 100 << 20), False),
        (Level(7, 13, 165 << 20), False),
    ],
)
def test_a_receiver_that_keeps_more_than_a_little_is_not_back_at_its_level(after, near):
    assert after.near(BEFORE) is near


def test_a_budget_spreads_the_bytes_over_the_time():
    budget, stop = Budget(total=1000, seconds=1), threading.Event()
    began = time.monotonic()
    assert all(budget.take(100, stop) for _ in range(3))
    assert 0.25 < time.monotonic() - began < 5


def test_the_end_of_the_soak_ends_the_wait_for_the_budget():
    budget, stop = Budget(total=1, seconds=1000), threading.Event()
    threading.Timer(0.1, stop.set).start()
    assert not budget.take(1 << 20, stop)


@pytest.fixture
def received(tmp_path):
    """A receiver's folder in which one object of 1000 bytes has its event and its file."""
    server, event = DicomPipeline(), an_event()
    server.folder = tmp_path
    file = server.settings.storage / event.file_path
    file.parent.mkdir(parents=True)
    file.write_bytes(bytes(event.file_size))
    with open_event_log(server.settings) as log:
        log.create_topics([STORAGE_QUEUE], 1)
        log.publish([Message(STORAGE_QUEUE, event.series_uid, encode(event))])
    return server, event, file


def test_what_was_acknowledged_and_has_its_event_and_file_is_no_finding(received):
    server, event, _ = received
    assert undelivered(server, [event.sop_uid], 0) == []


def test_an_acknowledged_object_without_an_event_is_a_finding(received):
    server, event, _ = received
    assert undelivered(server, [event.sop_uid, "1.9"], 0) == ["no event: 1.9"]


@pytest.mark.parametrize("spoil", [lambda file: file.unlink(), lambda file: file.write_bytes(b"")])
def test_an_event_without_its_whole_file_is_a_finding(received, spoil):
    server, event, file = received
    spoil(file)
    assert undelivered(server, [event.sop_uid], 0) == [f"no file, or not whole: {file}"]


@pytest.mark.parametrize("name", ["1.dcm", "1.spare"])
def test_an_object_that_stays_in_incoming_is_a_finding(received, name):
    server, event, _ = received
    left = server.settings.storage / "incoming" / "node" / name
    left.parent.mkdir(parents=True)
    left.write_bytes(b"object")
    assert undelivered(server, [event.sop_uid], 0) == ["1 objects still in incoming/"]
