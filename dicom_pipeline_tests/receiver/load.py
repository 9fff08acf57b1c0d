"""Senders that never give up, and what they remember of what was sent and acknowledged."""

import random
import threading
import time
from collections import Counter
from contextlib import contextmanager

from dicom_pipeline_tests.receiver.objects import EXPLICIT, encode_dataset, make_dataset, new_uid
from dicom_pipeline_tests.receiver.sender import Sender
from receiver.part10 import digest

SENDERS = 4
_RETRY_SECONDS = 0.005


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
        """How often each status other than success was answered."""
        self.ended = Counter()
        """How often an association ended otherwise than by us, by what came instead."""
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
            try:
                with Sender(self.port) as sender:
                    while not self._stopping.is_set():
                        self._store(sender, *objects.next())
            except OSError as error:
                with self._lock:
                    self.ended[str(error)] += 1
                self._stopping.wait(_RETRY_SECONDS)

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
