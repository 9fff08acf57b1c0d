"""SIGKILL at random moments under load: what was acknowledged is there, whole, and published.

``KILLS`` in the environment says how often each kind of receiver is killed.
"""

import os
import random
import signal
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress

import pytest

from dicom_pipeline.messages import FAN_OUT
from dicom_pipeline_tests.receiver.objects import EXPLICIT, encode_dataset, make_dataset, new_uid
from dicom_pipeline_tests.receiver.promises import require_kept
from dicom_pipeline_tests.receiver.running import process, published, spawn, wait_until_ready
from dicom_pipeline_tests.receiver.sender import Sender
from receiver.part10 import digest

KILLS = int(os.environ.get("KILLS", "4"))
SENDERS = 4
MOST_RECEIPTS = 250
"""A receiver is killed after so many at the latest."""
BEFORE_IT_IS_READY = 4
"""Of so many kills one hits a receiver that still starts, and perhaps recovers."""

pytestmark = [pytest.mark.service, pytest.mark.timeout(300 + 20 * KILLS)]


class Load:
    """Senders that never give up, and their ledger."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.port = None
        self.sent = set()
        """Every (SOP Instance UID, digest) that was begun."""
        self.acknowledged = Counter()
        """How many receipts of it were acknowledged."""
        self.refused = Counter()
        self._lock = threading.Lock()
        self._stopping = threading.Event()

    @contextmanager
    def running(self):
        threads = [
            threading.Thread(target=self._send, args=(f"{self.random.random()}",))
            for _ in range(SENDERS)
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join()

    def wait_for(self, receipts, seconds=3):
        """Until so many more were acknowledged; no longer on a busy machine."""
        goal, deadline = self.acknowledged.total() + receipts, time.monotonic() + seconds
        while self.acknowledged.total() < goal and time.monotonic() < deadline:
            time.sleep(0.002)

    def _send(self, seed):
        objects = Objects(random.Random(seed))
        while not self._stopping.is_set():
            if self.port is None:
                time.sleep(0.005)
                continue
            with suppress(OSError), Sender(self.port) as sender:
                while not self._stopping.is_set():
                    self._store(sender, *objects.next())

    def _store(self, sender, uid, data_set):
        content = uid, digest(EXPLICIT, data_set)
        with self._lock:
            self.sent.add(content)
        status = sender.store(uid, data_set)
        with self._lock:
            if status:
                self.refused[status] += 1
            else:
                self.acknowledged[content] += 1


class Objects:
    """Small and large ones, in known and in new series, and some that were sent before."""

    def __init__(self, source):
        self.random = source
        self.series = new_uid()
        self.last = None

    def next(self):
        choice = self.random.random()
        if self.last and choice < 0.1:
            return self.last
        uid = self.last[0] if self.last and choice < 0.15 else new_uid()
        if choice > 0.9:
            self.series = new_uid()
        size = 1_300_000 if choice > 0.98 else self.random.randrange(100, 30_000)
        pixels = self.random.randbytes(size // 2 * 2)
        dataset = make_dataset(SOPInstanceUID=uid, SeriesInstanceUID=self.series, PixelData=pixels)
        self.last = uid, encode_dataset(dataset)
        return self.last


def kill_again_and_again(home, load, names, **variables):
    for number in range(KILLS):
        options = {
            **variables,
            "WORKER_NODE_ID": names[number % len(names)],
            "RECEIVER_LOOP": "public" if number % 3 == 2 else "fast",
        }
        child = spawn(home, **options)
        try:
            if number % BEFORE_IT_IS_READY == 3:
                time.sleep(load.random.uniform(0.5, 1.5))
            else:
                load.port = wait_until_ready(home, child)["port"]
                load.wait_for(load.random.randrange(MOST_RECEIPTS))
                time.sleep(load.random.uniform(0, 0.01))
        finally:
            child.kill()
            child.wait()
            load.port = None


@pytest.mark.parametrize(
    ("acknowledge", "names"),
    [
        ("written", ["node"]),
        ("queued", ["node"]),
        ("written", ["node-1", "node-2", "node-3"]),
    ],
    ids=["written", "queued", "each adopts what another has left"],
)
def test_no_kill_loses_an_acknowledged_object(tmp_path, acknowledge, names):
    load = Load(seed=f"{acknowledge}{names}")
    with load.running():
        kill_again_and_again(tmp_path, load, names, RECEIVER_ACKNOWLEDGE=acknowledge)
    with process(tmp_path, WORKER_NODE_ID=names[-1]) as receiver:
        receiver.send_signal(signal.SIGTERM)
        assert receiver.wait(60) == 0
    assert load.acknowledged
    assert not load.refused
    require_kept(
        tmp_path / "storage",
        {topic: published(tmp_path, topic) for topic in FAN_OUT},
        load.acknowledged,
        load.sent,
    )
    print(  # noqa: T201 - shown for long runs
        f"{acknowledge}, {len(names)} names: {KILLS} kills, {len(load.sent)} objects sent, "
        f"{load.acknowledged.total()} receipts acknowledged"
    )
