"""What the forwarder does with an event that a queue will never take."""

import pytest
from prometheus_client.exposition import generate_latest

from dicom_pipeline.dead_letters import REFUSED_EVENT
from dicom_pipeline.errors import ConfigurationError, MessageRefusedError
from dicom_pipeline.messages import (
    DEAD_LETTER_QUEUE,
    FAN_OUT,
    INDEX_QUEUE,
    LOG_QUEUE,
    decode_dead_letter,
)
from dicom_pipeline_tests.events import an_event
from dicom_pipeline_tests.receiver.listening import wait_until
from dicom_pipeline_tests.receiver.objects import FakeEventLog
from receiver.forwarder import Forwarder
from receiver.metrics import Metrics
from receiver.outbox import Outbox


class Refusing(FakeEventLog):
    """Takes no batch in which a message is of ``topics`` and longer than ``limit``."""

    def __init__(self, limit, topics=FAN_OUT):
        super().__init__()
        self.limit, self.topics_with_limit = limit, topics

    def publish(self, messages):
        if any(len(m.value) > self.limit for m in messages if m.topic in self.topics_with_limit):
            raise MessageRefusedError("too large")
        super().publish(messages)

    def letters(self):
        values = [each.value for each in self.messages if each.topic == DEAD_LETTER_QUEUE]
        return [decode_dead_letter(value) for value in values]


@pytest.fixture
def outbox(tmp_path):
    outbox = Outbox(tmp_path / "outbox.db")
    yield outbox
    outbox.close()


def forwarded(outbox, log, events, metrics=None):
    outbox.add(events)
    forwarder = Forwarder(outbox, lambda: log, metrics or Metrics())
    forwarder.start()
    wait_until(lambda: outbox.depth().events == 0)
    forwarder.stop(1)


def events_with_a_large_one(size):
    events = [
        an_event(trace_id=f"019a0000-0000-7000-8000-{n:012}", sop_uid=f"1.2.{n}") for n in range(9)
    ]
    events[4] = an_event(trace_id="large", findings=("x" * size,))
    return events


def test_it_is_set_aside_in_each_queue_and_those_around_it_go_out_in_their_order(outbox):
    events = events_with_a_large_one(5000)
    log, metrics = Refusing(4000), Metrics()
    forwarded(outbox, log, events, metrics)
    expected = [each.trace_id for each in events if each.trace_id != "large"]
    for topic in FAN_OUT:
        # Some come twice, none is lost, and nothing new comes before what was first.
        assert list(dict.fromkeys(each.trace_id for each in log.events(topic))) == expected
    letters = log.letters()
    assert {(each.topic, each.trace_id, each.code) for each in letters} == {
        (topic, "large", REFUSED_EVENT) for topic in FAN_OUT
    }
    assert all(each.offset == -1 and b"x" * 5000 in each.value for each in letters)
    exposed = generate_latest(metrics).decode()
    assert f"dicom_receiver_refused_events_total {float(len(FAN_OUT))}" in exposed


def test_the_queues_that_take_it_get_it(outbox):
    log = Refusing(4000, [INDEX_QUEUE])
    forwarded(outbox, log, events_with_a_large_one(5000))
    assert "large" in {each.trace_id for each in log.events(LOG_QUEUE)}
    assert {each.topic for each in log.letters()} == {INDEX_QUEUE}


def test_a_letter_that_is_too_large_itself_leaves_the_event_out_but_names_it(outbox):
    log = Refusing(2000, (*FAN_OUT, DEAD_LETTER_QUEUE))
    forwarded(outbox, log, events_with_a_large_one(5000))
    letters = log.letters()
    assert {(each.trace_id, each.value) for each in letters} == {("large", b"")}
    assert all("do not fit into a dead letter" in each.reason for each in letters)


def test_a_log_that_cannot_be_used_is_told_as_an_error_and_tried_again(outbox, caplog):
    log = FakeEventLog()
    refusals = iter([ConfigurationError("topic does not exist")])

    def open_log():
        if error := next(refusals, None):
            raise error
        return log

    outbox.add([an_event()])
    forwarder = Forwarder(outbox, open_log, Metrics())
    forwarder.start()
    wait_until(lambda: outbox.depth().events == 0)
    forwarder.stop(1)
    (record,) = [one for one in caplog.records if "event log" in one.message]
    assert (record.levelname, record.message) == (
        "ERROR",
        "event log cannot be used, will try again",
    )
