"""What a queue's sensor remembers from one tick to the next, and what follows from it."""

from collections import Counter
from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log import Watermarks
from dicom_pipeline.event_log.bounds import planning_id
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.settings import Settings

BACKLOG_SHARE: Final = 4
"""A long backlog is cut into ranges of this fraction of it, within the limits of a range."""

OUTSTANDING_MAX: Final = 100
"""Unfinished ranges of one partition. Ranges in back-off do not stop the queue, so that one bad
range delays no other; this bound keeps the ledger (a sensor's cursor) small in a long outage."""


class RunState(StrEnum):
    """What is known of the run of one attempt."""

    UNKNOWN = "unknown"
    """There is no such run: not requested yet, or deleted."""
    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED_TRANSIENT = "failed_transient"
    """Worth retrying for as long as it takes: a sink was away."""
    FAILED_PERMANENT = "failed_permanent"
    """Retrying cannot help."""
    FAILED_UNKNOWN = "failed_unknown"
    """A bug, a crash, a process that is gone: worth a few more attempts."""
    CANCELED = "canceled"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a queue is worked on at a time, and how failures are paced."""

    in_flight: int
    """Ranges of one partition that wait or run."""
    range_messages: int
    """Messages of a range while the backlog is short."""
    range_messages_max: int
    """Messages of a range when the backlog is long."""
    max_attempts: int
    """Attempts at a range that end for an unknown reason before it is abandoned."""
    backoff_us: int
    """Pause (µs) after the first failure; doubles with each further one."""
    backoff_max_us: int
    """Longest pause (µs)."""
    outstanding_max: int = OUTSTANDING_MAX
    """Unfinished ranges of one partition, those in back-off included."""

    @classmethod
    def from_settings(cls, settings: Settings) -> "Limits":
        """The limits that the settings ``STREAM_…`` choose."""
        return cls(
            in_flight=settings.stream_ranges_in_flight,
            range_messages=settings.stream_range_messages,
            range_messages_max=settings.stream_range_messages_max,
            max_attempts=settings.stream_max_attempts,
            backoff_us=round(settings.stream_backoff_seconds * 1e6),
            backoff_max_us=round(settings.stream_backoff_max_seconds * 1e6),
        )

    def pause_us(self, failures: int) -> int:
        """How long to wait after so many failures in a row."""
        # The exponent's bound only keeps the number small; no pause is that long.
        return min(self.backoff_us << min(failures - 1, 40), self.backoff_max_us)

    def range_size(self, backlog: int) -> int:
        """Messages of the next range: few and large when busy, small and soon when quiet."""
        grown = max(self.range_messages, backlog // BACKLOG_SHARE)
        return min(backlog, grown, max(self.range_messages, self.range_messages_max))


class Outstanding(msgspec.Struct, frozen=True, kw_only=True):
    """A range that was planned and is not finished."""

    partition: int
    start: int
    end: int
    attempt: int = 1
    not_before_us: int = 0
    """When the attempt may be requested (again): µs since the epoch."""
    crashes: int = 0
    """How many attempts failed for an unknown reason."""

    def __len__(self) -> int:
        return self.end - self.start


class Breaker(msgspec.Struct, frozen=True):
    """The circuit-breaker of one queue: open while its sink seems to be away."""

    failures: int = 0
    """Ticks in a row that saw transient failures and no success; 0: closed."""
    probe_at_us: int = 0
    """When one range may be tried: µs since the epoch."""


class RangeRequest(NamedTuple):
    """One attempt at a range: a run to start."""

    offsets: OffsetRange
    attempt: int

    @property
    def run_key(self) -> str:
        """Identifies the attempt among all runs."""
        return self.offsets.run_key(self.attempt)


class Ledger(msgspec.Struct, frozen=True, kw_only=True):
    """The unfinished work of one queue; as JSON, the cursor of its sensor."""

    topic_id: str = ""
    """Empty before the first plan."""
    generation: str = ""
    """Tells this ledger's runs from those of an earlier one over the same offsets."""
    next: dict[int, int] = {}
    """Partition -> the next offset to plan."""
    stamps: dict[int, int] = {}
    """Partition -> when the message before ``next`` was published (µs). Should that offset hold
    another message one day, the log is another one."""
    outstanding: list[Outstanding] = []
    """By partition and start."""
    breaker: Breaker = Breaker()

    @property
    def planning_id(self) -> str:
        """The topic id of the ranges: the topic's own and the generation."""
        return planning_id(self.topic_id, self.generation)

    def attempts(self, topic: str) -> list[RangeRequest]:
        """The present attempt at each outstanding range: whose states `plan` wants to know."""
        return [self._request(topic, one) for one in self.outstanding]

    def _request(self, topic: str, one: Outstanding) -> RangeRequest:
        offsets = OffsetRange(topic, self.planning_id, one.partition, one.start, one.end)
        return RangeRequest(offsets, one.attempt)


_decoder = msgspec.json.Decoder(Ledger)


def encode(ledger: Ledger) -> str:
    """The ledger as JSON text."""
    return msgspec.json.encode(ledger).decode()


def decode(text: str | None) -> Ledger:
    """The ledger in a sensor's cursor; an empty one before the first tick.

    Raises:
        ConfigurationError: the text is not a ledger.
    """
    if not text:
        return Ledger()
    try:
        return _decoder.decode(text)
    except msgspec.DecodeError as error:
        raise ConfigurationError(
            f"the sensor's cursor is not a ledger of ranges: {error}; empty the cursor to plan "
            "everything again that is still in the queue, as new runs (a replay changes no row)"
        ) from error


def lag(
    ledger: Ledger, watermarks: Mapping[int, Watermarks], abandoned: Mapping[int, int]
) -> dict[int, int]:
    """Messages of each partition that are not processed: unplanned, outstanding and abandoned.

    ``abandoned`` is how many messages of each partition wait for an operator.
    """
    unfinished: Counter[int] = Counter()
    for one in ledger.outstanding:
        unfinished[one.partition] += len(one)
    return {
        partition: max(0, high - max(ledger.next.get(partition, low), low))
        + unfinished[partition]
        + abandoned.get(partition, 0)
        for partition, (low, high) in watermarks.items()
    }


def oldest_unprocessed(ledger: Ledger, watermarks: Mapping[int, Watermarks]) -> dict[int, int]:
    """The first offset that waits, of each partition that has one: the age of the lag.

    Abandoned ranges are left out, or the age would only say when the last one was abandoned.
    """
    unplanned = {partition: marks.low for partition, marks in watermarks.items()}
    first = unplanned | committed(ledger)
    return {
        partition: max(first[partition], low)
        for partition, (low, high) in watermarks.items()
        if first[partition] < high
    }


def committed(ledger: Ledger) -> dict[int, int]:
    """The offset of each partition below which everything is finished or abandoned."""
    offsets = dict(ledger.next)
    for one in ledger.outstanding:
        offsets[one.partition] = min(one.start, offsets.get(one.partition, one.start))
    return offsets
