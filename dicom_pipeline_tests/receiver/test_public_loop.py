"""pynetdicom's own loop, without a network: what its events and our stop do to each other."""

import threading

from dicom_pipeline_tests.receiver.objects import SENDER
from receiver.metrics import Metrics
from receiver.public_loop import PublicLoop


class Association:
    """Cannot be stopped."""

    def abort(self):
        pass


class Event:
    def __init__(self, association):
        self.assoc = association


def test_a_stop_does_not_mind_associations_that_come_and_go(monkeypatch):
    class Connection:
        def established(self):
            pass

    class Settings:
        receiver_idle_timeout_seconds = 1

    monkeypatch.setattr("receiver.public_loop.connection_of", lambda _: Connection())
    loop = PublicLoop(Settings(), None, Metrics(), lambda _: SENDER, None)
    handlers = {event.name: handler for event, handler in loop.handlers()}
    standing = [Association() for _ in range(2000)]
    for association in standing:
        handlers["EVT_ESTABLISHED"](Event(association))
    ended = threading.Event()

    def come_and_go():
        while not ended.is_set():
            events = [Event(Association()) for _ in range(50)]
            for name in ("EVT_ESTABLISHED", "EVT_CONN_CLOSE"):
                for event in events:
                    handlers[name](event)

    threads = [threading.Thread(target=come_and_go) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(200):
            loop.stop()
    finally:
        ended.set()
        for thread in threads:
            thread.join()
