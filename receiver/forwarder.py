"""Moves events from the outbox to the event log, for as long as it takes."""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Final

from dicom_pipeline.dead_letters import REFUSED_EVENT, publish_dead_letters
from dicom_pipeline.errors import ConfigurationError, MessageRefusedError
from dicom_pipeline.event_log import EventLog, Message
from dicom_pipeline.messages import EVENT_BYTES_MAX, DeadLetter, UnreadableEventError, decode_event
from receiver.failures import described
from receiver.metrics import Metrics
from receiver.outbox import Entry, Outbox

logger = logging.getLogger(__name__)

_BATCH: Final = 1024
_LINGER_SECONDS: Final = 0.25
"""Events that come within this time are published together."""
_IDLE_SECONDS: Final = 1.0
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0


class Forwarder:
    """A thread that publishes what the outbox holds, in its order, at least once."""

    def __init__(self, outbox: Outbox, open_log: Callable[[], EventLog], metrics: Metrics) -> None:
        """``open_log`` opens the event log with its topics; it is called again after failures."""
        self._outbox = outbox
        self._open_log = open_log
        self._metrics = metrics
        self._log: EventLog | None = None
        self._published = 0
        self._deadline = float("inf")
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="forwarder", daemon=True)

    def start(self) -> None:
        """Start publishing."""
        self._thread.start()

    def alive(self) -> bool:
        """Whether events are still being published."""
        return self._thread.is_alive()

    def stop(self, drain_seconds: float) -> None:
        """Publish what is left, for at most ``drain_seconds``; the rest waits for a restart."""
        self._deadline = time.monotonic() + drain_seconds
        self._stopping.set()
        self._outbox.wake()
        self._thread.join()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._expired():
            try:
                published = self._forward()
            except Exception as error:  # noqa: BLE001 - whatever it is, the events must go out
                self._close_log()
                self._metrics.publish_failed()
                _tell(error, pause)
                self._rest(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            if published:
                if published < _BATCH:
                    self._stopping.wait(_LINGER_SECONDS)
                continue
            if self._stopping.is_set():
                break
            self._outbox.wait(_IDLE_SECONDS)
        self._close_log()

    def _expired(self) -> bool:
        return self._stopping.is_set() and time.monotonic() >= self._deadline

    def _rest(self, seconds: float) -> None:
        if self._stopping.is_set():
            time.sleep(max(0.0, min(seconds, self._deadline - time.monotonic())))
        else:
            self._stopping.wait(seconds)

    def _forward(self) -> int:
        """Publish one batch; returns how many events it had."""
        if self._log is None:
            self._log = self._open_log()
        entries = self._outbox.entries(self._published, _BATCH)
        if not entries:
            return 0
        self._publish(self._log, list(_messages(entries)))
        self._metrics.events_published(len(entries))
        self._published = entries[-1].id
        self._outbox.forget(self._published)
        return len(entries)

    def _publish(self, log: EventLog, messages: Sequence[Message]) -> None:
        """Publish the messages, or find the one among them that the log refuses, by halving.

        What stands before and behind it goes out, some of it twice.
        """
        try:
            log.publish(messages)
        except MessageRefusedError as error:
            if len(messages) == 1:
                self._set_aside(log, messages[0], str(error))
                return
            middle = len(messages) // 2
            self._publish(log, messages[:middle])
            self._publish(log, messages[middle:])

    def _set_aside(self, log: EventLog, message: Message, reason: str) -> None:
        """A queue will never take this event: it must not hold up those behind it."""
        trace_id = None
        with suppress(UnreadableEventError):
            trace_id = decode_event(message.value).trace_id
        letter = DeadLetter(
            topic=message.topic,
            partition=-1,
            offset=-1,
            code=REFUSED_EVENT,
            reason=reason,
            value=message.value[:EVENT_BYTES_MAX],
            trace_id=trace_id,
        )
        publish_dead_letters(log, [letter])
        self._metrics.event_refused()
        logger.error(
            "event log refuses an event for good, it is in dead_letter_queue",
            extra={"topic": message.topic, "trace_id": trace_id, "error": reason},
        )

    def _close_log(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            with suppress(Exception):
                log.close()


def _tell(error: Exception, pause: float) -> None:
    extra = {"pause_seconds": pause, **described(error)}
    if isinstance(error, ConfigurationError):  # a person must act, and then it goes on
        logger.error("event log cannot be used, will try again", extra=extra)
    else:
        logger.warning("event log is away, will try again", extra=extra)


def _messages(entries: Iterable[Entry]) -> Iterable[Message]:
    for entry in entries:
        for topic in entry.topics:
            yield Message(topic, entry.key, entry.value)
