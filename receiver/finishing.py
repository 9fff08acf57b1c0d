"""From durable files in ``incoming/`` to durable events, in batches, behind the acknowledgements.

A file in ``incoming/`` is an object's log record: it holds the bytes and the receipt, all that its
event is made of. Once it is durable no crash can lose the object or its event, because recovery
goes on from it; so what follows may be shared by all the objects that wait.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.messages import Event
from receiver.failures import described
from receiver.metrics import Metrics
from receiver.placement import Content, EventSink, finish_all

logger = logging.getLogger(__name__)

_BATCH: Final = 1024
_WAITING: Final = 1024
"""More acknowledged objects do not wait: then associations do."""
_WAIT_SECONDS: Final = 0.01


class _Marker(NamedTuple):
    """Done when all that was submitted before it has ended."""

    done: Future[None]


class Unfinished(NamedTuple):
    """A durable file that has no durable event yet."""

    incoming: str
    content: Content
    done: Future[Event] | None
    """Somebody waits for the event."""
    since: float
    """When it came here, by `time.perf_counter`."""


class Finisher:
    """A thread that places files and publishes their events to the outbox."""

    def __init__(
        self,
        root: Path,
        outbox: EventSink,
        metrics: Metrics,
        ended: Callable[[str], None],
        pause: float = 0,
    ) -> None:
        """Start the thread.

        Args:
            root: the storage root.
            outbox: where events become durable.
            metrics: counts.
            ended: told the path of each file that needs no more work here. One that could not be
                finished stays in ``incoming/``, where recovery finds it.
            pause: seconds to wait for company when nobody waits for the result.
        """
        self._root = root
        self._outbox = outbox
        self._metrics = metrics
        self._ended = ended
        self._pause = pause
        self._queue: queue.SimpleQueue[Unfinished | _Marker | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="finisher", daemon=True)
        self._thread.start()

    def submit(self, incoming: str, content: Content, done: Future[Event] | None = None) -> None:
        """Finish a durable file, and tell ``done``; waits while too many do."""
        while self._queue.qsize() > _WAITING:
            time.sleep(_WAIT_SECONDS)
        self._queue.put(Unfinished(incoming, content, done, time.perf_counter()))

    def alive(self) -> bool:
        """Whether files are still being finished."""
        return self._thread.is_alive()

    def settled(self, seconds: float) -> bool:
        """Wait until all that was submitted so far has ended; False: that takes longer."""
        marker = _Marker(Future())
        self._queue.put(marker)
        try:
            marker.done.result(seconds)
        except TimeoutError:
            return False
        return True

    def stop(self) -> None:
        """Finish what was submitted, and end."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            batch = [self._queue.get()]
            if self._pause:
                time.sleep(self._pause)
            while len(batch) < _BATCH and not self._queue.empty():
                batch.append(self._queue.get())
            stopping = None in batch
            self._finish([each for each in batch if isinstance(each, Unfinished)])
            for each in batch:
                if isinstance(each, _Marker):
                    each.done.set_result(None)

    def _finish(self, batch: Sequence[Unfinished]) -> None:
        results: Sequence[Event | Exception]
        try:
            results = finish_all(
                self._root, [(each.incoming, each.content) for each in batch], self._outbox
            )
        except Exception as error:  # noqa: BLE001 - recovery finishes what we could not
            results = [error] * len(batch)
        now = time.perf_counter()
        for each, result in zip(batch, results, strict=True):
            self._ended(each.incoming)
            if isinstance(result, Exception):
                logger.error(
                    "object not finished: it stays in incoming/ until it can be",
                    extra={"trace_id": each.content.receipt.trace_id, **described(result)},
                )
                if each.done:
                    each.done.set_exception(result)
            else:
                self._metrics.phases["finish"](now - each.since)
                if result.duplicate_of:
                    self._metrics.duplicate_found(result.tenant_id)
                if each.done:
                    each.done.set_result(result)
