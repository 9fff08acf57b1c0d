"""Outboxes of receivers that do not run any more."""

from contextlib import closing

import pytest

from dicom_pipeline.messages import LOG_QUEUE, decode_event
from dicom_pipeline_tests.receiver.objects import (
    SENDER,
    FakeEventLog,
    FakeOutbox,
    make_dataset,
    receiving_into,
    request_for,
    unfinished,
)
from receiver.adoption import adopt_orphans
from receiver.forwarder import Forwarder
from receiver.locking import NodeLock
from receiver.metrics import Metrics
from receiver.outbox import Outbox


@pytest.fixture
def root(tmp_path):
    path = tmp_path / "storage"
    (path / "incoming").mkdir(parents=True)
    return path


@pytest.fixture
def events(tmp_path):
    fake = FakeOutbox()
    receiving = receiving_into(tmp_path / "elsewhere", fake)
    for _ in range(3):
        receiving.receive(SENDER, request_for(make_dataset()))
    return fake.events


@pytest.fixture
def opened(tmp_path):
    """Opens outboxes of one home, and closes them at the end."""
    outboxes = []

    def open_outbox(name):
        outboxes.append(Outbox(tmp_path / "outbox" / f"{name}.db"))
        return outboxes[-1]

    yield open_outbox
    for outbox in outboxes:
        outbox.close()


def left_in_incoming(root, monkeypatch):
    """An acknowledged object of the node "node" that was killed before it had its name."""

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    request = request_for(make_dataset())
    receiving = receiving_into(root, FakeOutbox())
    with monkeypatch.context() as patch:
        patch.setattr("os.link", killed)
        with pytest.raises(Killed):
            receiving.receive(SENDER, request)
    return receiving.incoming.path, request


def waiting(outbox):
    return [decode_event(entry.value) for entry in outbox.entries(0, 100)]


def test_events_that_a_receiver_of_another_name_left_go_to_the_event_log(root, opened, events):
    orphan = opened("container-1")
    for event in events:
        orphan.add([event])
    orphan.close()
    log, mine = FakeEventLog(), opened("container-2")
    adopt_orphans(root, mine)
    forwarder = Forwarder(mine, lambda: log, Metrics())
    forwarder.start()
    forwarder.stop(10)
    assert log.events(LOG_QUEUE) == events
    assert opened("container-1").depth().events == 0


def test_the_clock_goes_on_from_the_adopted_one(root, opened, events):
    orphan = opened("container-1")
    for event in events:
        orphan.add([event])
    orphan.forget(1 << 40)
    orphan.close()
    mine = opened("container-2")
    adopt_orphans(root, mine)
    assert mine.last_version() == max(event.version for event in events)


def test_receipts_that_it_did_not_end_are_ended(root, opened, monkeypatch):
    opened("node").close()
    incoming, request = left_in_incoming(root, monkeypatch)
    mine = opened("container-2")
    adopt_orphans(root, mine)
    (event,) = waiting(mine)
    assert event.worker_node_id == "node"
    assert (root / event.file_path).read_bytes().endswith(request.data_set)
    assert unfinished(incoming) == []


def test_the_outbox_of_a_living_receiver_is_left_alone(root, opened, events):
    living = opened("living")
    living.add([events[0]])
    mine = opened("mine")
    adopt_orphans(root, mine)
    assert waiting(mine) == []
    assert waiting(living) == events[:1]


def test_a_broken_orphan_is_logged_and_does_not_keep_the_others(root, opened, events, caplog):
    orphan = opened("b")
    orphan.add([events[0]])
    orphan.close()
    (orphan.path.parent / "a.db").write_bytes(b"no database" * 100)
    mine = opened("mine")
    adopt_orphans(root, mine)
    assert waiting(mine) == events[:1]
    assert [record.outbox for record in caplog.records if record.levelname == "ERROR"] == ["a.db"]


def test_adopting_twice_moves_nothing_twice(root, opened, events):
    orphan = opened("container-1")
    orphan.add([events[0]])
    orphan.close()
    mine = opened("container-2")
    adopt_orphans(root, mine)
    adopt_orphans(root, mine)
    assert waiting(mine) == events[:1]


def test_an_empty_outbox_by_its_name_has_a_lost_nodes_receipts_ended(root, opened, monkeypatch):
    incoming, _ = left_in_incoming(root, monkeypatch)
    mine = opened("mine")
    adopt_orphans(root, mine)
    assert waiting(mine) == []  # it might still run, with a home of its own
    (mine.path.parent / "node.db").touch()
    adopt_orphans(root, mine)
    assert [event.worker_node_id for event in waiting(mine)] == ["node"]
    assert unfinished(incoming) == []


def test_the_receipts_of_a_node_that_runs_in_another_home_are_left_alone(
    root, opened, events, monkeypatch
):
    incoming, _ = left_in_incoming(root, monkeypatch)
    orphan = opened("node")  # a copy of its home
    orphan.add([events[0]])
    orphan.close()
    mine = opened("mine")
    with closing(NodeLock(incoming)):
        adopt_orphans(root, mine)
        assert len(unfinished(incoming)) == 1
    adopt_orphans(root, mine)
    assert unfinished(incoming) == []
    assert len(waiting(mine)) == 2
