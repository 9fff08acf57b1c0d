import sqlite3
import threading
import time

import pytest

from dicom_pipeline.clock import HybridClock
from dicom_pipeline.errors import ConfigurationError, TransientError
from dicom_pipeline.messages import FAN_OUT, LOG_QUEUE, decode_event
from dicom_pipeline_tests.receiver.objects import (
    SENDER,
    FakeEventLog,
    FakeOutbox,
    make_dataset,
    receiving_into,
    request_for,
)
from receiver.forwarder import Forwarder
from receiver.metrics import Metrics
from receiver.outbox import Outbox


@pytest.fixture
def path(tmp_path):
    return tmp_path / "outbox" / "node.db"


@pytest.fixture
def events(tmp_path):
    """Three receipts: two objects, and the second one again."""
    fake = FakeOutbox()
    receiving = receiving_into(tmp_path / "storage", fake)
    second = request_for(make_dataset())
    for request in (request_for(make_dataset()), second, second):
        receiving.receive(SENDER, request)
    return fake.events


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def test_an_added_event_survives_the_process(path, events):
    outbox = Outbox(path)
    outbox.add([events[0]])
    # No close: what another connection sees is what a new process would find.
    with sqlite3.connect(path) as connection:
        ((value,),) = connection.execute("SELECT value FROM outbox")
    connection.close()
    outbox.close()
    assert decode_event(value) == events[0]


def test_events_of_many_threads_share_commits(path, events, monkeypatch):
    outbox = Outbox(path)
    commits = []
    commit = Outbox._commit

    def slow_commit(self, connection, adds, forget):
        time.sleep(0.02)
        commits.append(len(adds))
        commit(self, connection, adds, forget)

    monkeypatch.setattr(Outbox, "_commit", slow_commit)
    threads = [threading.Thread(target=outbox.add, args=([events[0]],)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outbox.depth().events == sum(commits) == 40
    assert len(commits) < 10
    outbox.close()


def test_the_clock_goes_on_after_a_restart_with_the_machines_clock_set_back(path, events):
    outbox = Outbox(path)
    for event in events:
        outbox.add([event])
    outbox.forget(1 << 40)
    outbox.close()
    again = Outbox(path)
    version = HybridClock(again.last_version(), now=lambda: 1).next()
    again.close()
    assert version > max(event.version for event in events)


def test_ids_are_not_used_again_after_everything_was_published(path, events):
    outbox = Outbox(path)
    outbox.add([events[0]])
    outbox.forget(1)
    outbox.close()
    again = Outbox(path)
    again.add([events[1]])
    (entry,) = again.entries(0, 10)
    again.close()
    assert entry.id == 2


def test_a_second_process_is_told_to_use_another_name(path):
    outbox = Outbox(path)
    with pytest.raises(ConfigurationError, match="WORKER_NODE_ID"):
        Outbox(path)
    outbox.close()
    Outbox(path).close()


def test_a_broken_outbox_file_is_a_configuration_error(path):
    path.parent.mkdir()
    path.write_bytes(b"no database" * 100)
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        Outbox(path)


def test_a_failed_commit_fails_the_receipt_and_not_the_next_one(path, events):
    outbox = Outbox(path)
    with sqlite3.connect(path, isolation_level=None) as other:
        other.execute("ALTER TABLE outbox RENAME TO away")
        with pytest.raises(TransientError):
            outbox.add([events[0]])
        other.execute("ALTER TABLE away RENAME TO outbox")
    other.close()
    outbox.add([events[1]])
    assert outbox.depth().events == 1
    outbox.close()


class FailingConnection:
    """A connection whose statements fail while their first word is in ``failing``."""

    def __init__(self, connection, failing):
        self._connection = connection
        self._failing = failing

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def execute(self, statement, *values):
        if statement.split()[0] in self._failing:
            raise sqlite3.OperationalError("disk I/O error")
        return self._connection.execute(statement, *values)


@pytest.fixture
def failing(monkeypatch):
    """First words of statements that fail."""
    failing = set()
    connect = Outbox._connect
    monkeypatch.setattr(Outbox, "_connect", lambda self: FailingConnection(connect(self), failing))
    return failing


def add_in_time(outbox, event, seconds=10):
    """What `add` raised, if it came back at all."""
    raised = []

    def add():
        try:
            outbox.add([event])
        except Exception as error:  # noqa: BLE001 - told to the test's own thread
            raised.append(error)

    thread = threading.Thread(target=add, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "add hangs"
    return raised[0] if raised else None


def test_a_disk_that_fails_even_the_rollback_fails_only_its_receipts(path, events, failing):
    outbox = Outbox(path)
    failing.update({"COMMIT", "ROLLBACK"})
    for _ in range(2):
        assert isinstance(add_in_time(outbox, events[0]), TransientError)
    failing.clear()
    assert add_in_time(outbox, events[1]) is None
    assert [decode_event(entry.value) for entry in outbox.entries(0, 10)] == events[1:2]
    outbox.close()


def test_an_outbox_whose_writer_has_ended_refuses_at_once_and_says_so(
    path, events, monkeypatch, caplog
):
    def die(*_):
        raise MemoryError

    outbox = Outbox(path)
    monkeypatch.setattr(Outbox, "_commit", die)
    for _ in range(2):
        assert isinstance(add_in_time(outbox, events[0]), TransientError)
    assert "CRITICAL" in {record.levelname for record in caplog.records}
    outbox.close()
    Outbox(path).close()


def test_a_commit_that_does_not_come_is_not_waited_for_without_end(path, events, monkeypatch):
    go_on = threading.Event()
    monkeypatch.setattr(Outbox, "_commit", lambda *_: go_on.wait(20))
    monkeypatch.setattr("receiver.outbox._ADD_SECONDS", 0.1)
    outbox = Outbox(path)
    assert isinstance(add_in_time(outbox, events[0]), TransientError)
    go_on.set()
    outbox.close()


def test_an_outbox_that_is_let_go_soon_is_waited_for(path):
    outbox = Outbox(path)
    threading.Timer(0.2, outbox.close).start()
    Outbox(path, wait_seconds=10).close()


def test_a_closed_outbox_takes_nothing(path, events):
    outbox = Outbox(path)
    outbox.close()
    outbox.close()
    with pytest.raises(TransientError):
        outbox.add([events[0]])


def test_depth_and_age_tell_what_waits(path, events):
    outbox = Outbox(path)
    assert outbox.depth() == (0, 0.0)
    outbox.add([events[0]])
    time.sleep(0.05)
    depth = outbox.depth()
    outbox.close()
    assert depth.events == 1
    assert 0.04 < depth.age < 10


def test_objects_go_to_every_queue_and_duplicates_to_the_log_only(path, events):
    outbox, log = Outbox(path), FakeEventLog()
    forwarder = Forwarder(outbox, lambda: log, Metrics())
    forwarder.start()
    for event in events:
        outbox.add([event])
    wait_until(lambda: outbox.depth().events == 0)
    forwarder.stop(1)
    outbox.close()
    assert log.topics() == {topic: 3 if topic == LOG_QUEUE else 2 for topic in FAN_OUT}
    assert log.events(LOG_QUEUE) == events
    assert {message.key for message in log.messages} == {event.key for event in events}
    assert log.closed == 1


@pytest.mark.parametrize("failing", ["opening", "publishing"])
def test_while_the_event_log_is_away_events_wait_and_go_out_in_order(path, events, failing):
    log = FakeEventLog(failures=2 if failing == "publishing" else 0)
    refusals = iter([TransientError("away"), OSError("away")] if failing == "opening" else [])

    def open_log():
        if error := next(refusals, None):
            raise error
        return log

    outbox = Outbox(path)
    for event in events:
        outbox.add([event])
    forwarder = Forwarder(outbox, open_log, Metrics())
    forwarder.start()
    wait_until(lambda: outbox.depth().events == 0)
    forwarder.stop(1)
    outbox.close()
    assert log.events(LOG_QUEUE) == events


def test_stopping_publishes_what_is_left_but_does_not_wait_for_a_log_that_is_away(path, events):
    outbox = Outbox(path)
    outbox.add([events[0]])

    def away():
        raise TransientError("away")

    forwarder = Forwarder(outbox, away, Metrics())
    forwarder.start()
    started = time.monotonic()
    forwarder.stop(0.3)
    assert time.monotonic() - started < 3
    log = FakeEventLog()
    second = Forwarder(outbox, lambda: log, Metrics())
    second.start()
    second.stop(5)
    outbox.close()
    assert log.events(LOG_QUEUE) == events[:1]
