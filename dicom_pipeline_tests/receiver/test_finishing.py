"""Behind the acknowledgements: every durable file gets its event, whatever happens to others."""

import threading
import time
from concurrent.futures import Future
from types import SimpleNamespace

import pytest

from dicom_pipeline.clock import HybridClock
from dicom_pipeline_tests.receiver.objects import (
    SENDER,
    FakeOutbox,
    make_dataset,
    request_for,
    unfinished,
)
from receiver.finishing import Finisher
from receiver.incoming import ObjectBuffer
from receiver.metrics import Metrics
from receiver.receipt import Receiving
from receiver.statuses import Status

SECONDS = 20


class Stage:
    """Stands for `finish_all`: notes its batches, and does as it is told."""

    def __init__(self):
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()
        self.failures = {}
        self.failure = None

    def finish_all(self, root, files, outbox):
        names = [path for path, _ in files]
        self.batches.append(names)
        assert self.gate.wait(SECONDS)
        if self.failure:
            raise self.failure
        return [
            self.failures.get(name, SimpleNamespace(duplicate_of=None, tenant_id="default"))
            for name in names
        ]

    @property
    def finished(self):
        return [name for batch in self.batches for name in batch]


@pytest.fixture
def stage(monkeypatch):
    stage = Stage()
    monkeypatch.setattr("receiver.finishing.finish_all", stage.finish_all)
    yield stage
    stage.gate.set()


def content(name):
    return SimpleNamespace(receipt=SimpleNamespace(trace_id=name))


def finisher_into(tmp_path, ended, pause=0):
    return Finisher(tmp_path, FakeOutbox(), Metrics(["default"]), ended.append, pause)


def submit(finisher, *names):
    futures = [Future() for _ in names]
    for name, done in zip(names, futures, strict=True):
        finisher.submit(name, content(name), done)
    return futures


def test_what_was_submitted_is_finished_in_its_order(tmp_path, stage):
    ended, names = [], [f"{number}" for number in range(3000)]
    finisher = finisher_into(tmp_path, ended)
    futures = submit(finisher, *names)
    assert finisher.settled(SECONDS)
    assert stage.finished == ended == names
    assert all(done.result(SECONDS).duplicate_of is None for done in futures)
    assert max(map(len, stage.batches)) <= 1024
    finisher.stop()


def test_those_who_come_during_a_batch_share_the_next(tmp_path, stage):
    stage.gate.clear()
    finisher = finisher_into(tmp_path, [])
    (first,) = submit(finisher, "first")
    while not stage.batches:
        time.sleep(0.001)
    others = submit(finisher, *"abcdef")
    stage.gate.set()
    for done in (first, *others):
        done.result(SECONDS)
    assert stage.batches == [["first"], list("abcdef")]
    finisher.stop()


def test_a_pause_lets_company_come(tmp_path, stage):
    finisher = finisher_into(tmp_path, [], pause=0.5)
    for name in "abc":
        finisher.submit(name, content(name))
        time.sleep(0.03)
    assert finisher.settled(SECONDS)
    assert stage.batches[0] == ["a", "b", "c"]
    finisher.stop()


def test_one_failure_is_one_objects_failure(tmp_path, stage, caplog):
    ended = []
    stage.failures["b"] = OSError(28, "No space left on device")
    finisher = finisher_into(tmp_path, ended)
    futures = submit(finisher, *"abc")
    assert finisher.settled(SECONDS)
    assert [type(done.exception(SECONDS)) for done in futures] == [type(None), OSError, type(None)]
    assert ended == ["a", "b", "c"], "recovery may have what is left of it"
    assert [record.trace_id for record in caplog.records] == ["b"]
    finisher.stop()


def test_a_failure_of_a_whole_batch_does_not_end_the_thread(tmp_path, stage):
    ended = []
    stage.failure = RuntimeError("outbox is away")
    finisher = finisher_into(tmp_path, ended)
    (failed,) = submit(finisher, "a")
    assert isinstance(failed.exception(SECONDS), RuntimeError)
    stage.failure = None
    (done,) = submit(finisher, "b")
    assert done.result(SECONDS)
    assert (ended, finisher.alive()) == (["a", "b"], True)
    finisher.stop()
    assert not finisher.alive()


def test_recovery_is_told_before_the_sender(tmp_path, stage):
    order = []
    finisher = Finisher(
        tmp_path, FakeOutbox(), Metrics(["default"]), lambda name: order.append(f"ended {name}")
    )
    done = Future()
    done.add_done_callback(lambda _: order.append("done"))
    finisher.submit("a", content("a"), done)
    done.result(SECONDS)
    assert finisher.settled(SECONDS)
    assert order == ["ended a", "done"]
    finisher.stop()


def test_settled_waits_for_what_came_before_and_no_longer_than_told(tmp_path, stage):
    stage.gate.clear()
    finisher = finisher_into(tmp_path, [])
    (done,) = submit(finisher, "a")
    assert not finisher.settled(0.05)
    assert not done.done()
    stage.gate.set()
    assert finisher.settled(SECONDS)
    assert done.done()
    finisher.stop()


def test_the_stop_finishes_what_was_submitted(tmp_path, stage):
    ended, names = [], [f"{number}" for number in range(600)]
    finisher = finisher_into(tmp_path, ended, pause=0.01)
    for name in names:
        finisher.submit(name, content(name))
    finisher.stop()
    assert ended == names


def test_who_submits_too_much_waits(tmp_path, stage, monkeypatch):
    monkeypatch.setattr("receiver.finishing._WAITING", 3)
    stage.gate.clear()
    finisher = finisher_into(tmp_path, [])
    sent = []

    def work():
        for number in range(20):
            finisher.submit(str(number), content(str(number)))
            sent.append(number)

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.1)
    assert len(sent) < 10
    stage.gate.set()
    thread.join(SECONDS)
    assert finisher.settled(SECONDS)
    assert len(stage.finished) == 20
    finisher.stop()


def test_acknowledged_objects_get_their_events_behind_the_answer(tmp_path):
    outbox = FakeOutbox()
    receiving = Receiving(
        root=tmp_path / "storage",
        worker_node_id="node",
        outbox=outbox,
        clock=HybridClock(),
        metrics=Metrics(["default"]),
    )
    buffer = ObjectBuffer(8192)
    for _ in range(20):
        sent = request_for(make_dataset())
        answer = receiving.receive(SENDER, sent.request, sent.data_set, buffer)
        assert answer is Status.SUCCESS
    assert receiving.finisher.settled(SECONDS)
    assert len(outbox.events) == 20
    assert receiving.incoming.in_flight() == frozenset()
    assert unfinished(receiving.incoming.path) == []
    receiving.stop()
