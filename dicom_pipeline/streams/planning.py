"""The plan of one tick: settle the attempts that ended, choose the ones to request now."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec

from dicom_pipeline.event_log import Watermarks
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.streams.ledger import (
    Breaker,
    Ledger,
    Limits,
    Outstanding,
    RangeRequest,
    RunState,
)

_ACTIVE: Final = frozenset({RunState.WAITING, RunState.RUNNING})
_GIVEN_UP: Final = {
    RunState.FAILED_PERMANENT: "the run failed for a reason that retrying cannot change",
    RunState.CANCELED: "the run was canceled",
}


Timestamp = Callable[[int, int], int | None]
"""(partition, offset) -> when that very message was published (µs); None when it is gone."""


class Abandoned(NamedTuple):
    """A range that will not be tried again by itself."""

    offsets: OffsetRange
    attempts: int
    """0: it was never tried."""
    reason: str


class Plan(NamedTuple):
    """What one tick decides."""

    ledger: Ledger
    """To be saved together with the requests."""
    requests: list[RangeRequest]
    abandoned: list[Abandoned]
    finished: list[OffsetRange]


def plan(  # noqa: PLR0913, PLR0917 - the whole input of a tick; a pure function has no other
    ledger: Ledger,
    topic: str,
    topic_id: str,
    watermarks: Mapping[int, Watermarks],
    states: Mapping[str, RunState],
    now_us: int,
    limits: Limits,
    timestamp: Timestamp,
    cut: Callable[[OffsetRange], int] | None = None,
) -> Plan:
    """Settle the attempts that ended, and choose the ones to request now.

    A topic with another id, or a log that no longer holds what was planned, starts everything
    over: what was unfinished is abandoned, and all that the log holds is planned, by a new
    generation.

    Args:
        ledger: what the previous plan left.
        topic: the queue's name.
        topic_id: the topic's present id.
        watermarks: of each partition, now.
        states: run key -> state, for `Ledger.attempts`; a key that is missing has no run.
        now_us: µs since the epoch.
        limits: sizes, numbers and pauses.
        timestamp: tells the messages of the log from those of another one.
        cut: may shorten a new range: gives the end to use, greater than the range's start.
    """
    settled = _settle(ledger, topic, states, now_us, limits)
    if reason := _another_log(ledger, topic_id, watermarks, timestamp):
        settled.abandon_all(reason)
        ledger = Ledger()
    if not ledger.topic_id:
        ledger = Ledger(topic_id=topic_id, generation=f"{now_us:x}")
    breaker = _next_breaker(ledger.breaker, settled, now_us, limits)
    draft = _Draft(
        topic=topic,
        topic_id=ledger.planning_id,
        next=_next_offsets(ledger, topic, watermarks, settled.abandoned),
        watermarks=watermarks,
        active=settled.active,
        resting=settled.resting,
        now_us=now_us,
        limits=limits,
        cut=cut,
    )
    if breaker.failures:
        draft.probe(breaker)
    else:
        draft.fill()
    after = msgspec.structs.replace(
        ledger,
        next=draft.next,
        stamps=_stamps(ledger, draft.next, timestamp),
        outstanding=draft.outstanding(),
        breaker=breaker,
    )
    return Plan(after, draft.requests, settled.abandoned, settled.finished)


def _another_log(
    ledger: Ledger, topic_id: str, watermarks: Mapping[int, Watermarks], timestamp: Timestamp
) -> str:
    """Why the ledger's offsets are not those of this log; empty when they are.

    A log that was restored from an older copy keeps its topic's id, and soon its new messages
    reach beyond the offsets that were planned. The last of these then holds another message: one
    that was published later. (It is there to be looked at: retention goes no further than the
    committed offset, which the copy has from before its own end.)
    """
    if ledger.topic_id not in {"", topic_id}:
        return (
            f"the topic was deleted and created again (its id was {ledger.topic_id}, "
            f"now it is {topic_id})"
        )
    for partition in ledger.next.keys() & watermarks.keys():
        planned = ledger.next[partition]
        low, high = watermarks[partition]
        noted = ledger.stamps.get(partition)
        found = timestamp(partition, planned - 1) if low < planned <= high else None
        if planned > high or (noted is not None and found not in {None, noted}):
            return (
                f"the event log lost messages, as by restoring an older copy: partition "
                f"{partition} does not hold what was planned up to offset {planned}. All that it "
                "holds is planned again; these offsets may hold other messages now"
            )
    return ""


def _stamps(ledger: Ledger, planned: Mapping[int, int], timestamp: Timestamp) -> dict[int, int]:
    """What the next tick will know the log by; looked up only where planning has moved."""
    stamps = {}
    for partition, offset in planned.items():
        stamp = ledger.stamps.get(partition)
        if stamp is None or ledger.next.get(partition) != offset:
            stamp = timestamp(partition, offset - 1) if offset else None
        if stamp is not None:
            stamps[partition] = stamp
    return stamps


@dataclass
class _Settled:
    """The ledger's ranges by what became of them."""

    topic: str
    topic_id: str
    """As the ranges carry it: `Ledger.planning_id`."""
    active: list[Outstanding] = field(default_factory=list)
    resting: list[Outstanding] = field(default_factory=list)
    """Not requested, or their run is lost: to be requested when their time has come."""
    finished: list[OffsetRange] = field(default_factory=list)
    abandoned: list[Abandoned] = field(default_factory=list)
    transient_failures: int = 0

    def offsets(self, one: Outstanding) -> OffsetRange:
        return OffsetRange(self.topic, self.topic_id, one.partition, one.start, one.end)

    def abandon(self, one: Outstanding, attempts: int, reason: str) -> None:
        self.abandoned.append(Abandoned(self.offsets(one), attempts, reason))

    def abandon_all(self, reason: str) -> None:
        for one in self.active:
            self.abandon(one, one.attempt, reason)
        for one in self.resting:
            self.abandon(one, one.attempt - 1, reason)
        self.active = []
        self.resting = []

    def come_back(self, one: Outstanding, now_us: int, limits: Limits, *, crashes: int) -> None:
        self.resting.append(
            msgspec.structs.replace(
                one,
                attempt=one.attempt + 1,
                not_before_us=now_us + limits.pause_us(one.attempt),
                crashes=crashes,
            )
        )


def _settle(
    ledger: Ledger, topic: str, states: Mapping[str, RunState], now_us: int, limits: Limits
) -> _Settled:
    settled = _Settled(topic, ledger.planning_id)
    for one, request in zip(ledger.outstanding, ledger.attempts(topic), strict=True):
        state = states.get(request.run_key, RunState.UNKNOWN)
        if state in _ACTIVE:
            settled.active.append(one)
        elif state is RunState.UNKNOWN:
            settled.resting.append(one)
        elif state is RunState.SUCCEEDED:
            settled.finished.append(request.offsets)
        elif state is RunState.FAILED_TRANSIENT:
            settled.transient_failures += 1
            settled.come_back(one, now_us, limits, crashes=one.crashes)
        elif state in _GIVEN_UP:
            settled.abandon(one, one.attempt, _GIVEN_UP[state])
        elif one.crashes + 1 < limits.max_attempts:
            settled.come_back(one, now_us, limits, crashes=one.crashes + 1)
        else:
            reason = f"the run failed {one.crashes + 1} times for an unknown reason"
            settled.abandon(one, one.attempt, reason)
    return settled


def _next_breaker(breaker: Breaker, settled: _Settled, now_us: int, limits: Limits) -> Breaker:
    """The breaker after this tick's news.

    A success beside failures means that the sink answers: the failures are the ranges' own.
    """
    if settled.finished:
        return Breaker()
    if settled.transient_failures:
        failures = breaker.failures + 1
        return Breaker(failures, now_us + limits.pause_us(failures))
    return breaker


def _next_offsets(
    ledger: Ledger,
    topic: str,
    watermarks: Mapping[int, Watermarks],
    abandoned: list[Abandoned],
) -> dict[int, int]:
    """Where planning goes on in each partition; what retention took unplanned is abandoned."""
    offsets = dict(ledger.next)
    for partition, (low, _) in watermarks.items():
        planned = offsets.setdefault(partition, low)
        if planned < low:
            gone = OffsetRange(topic, ledger.planning_id, partition, planned, low)
            reason = (
                f"retention deleted the messages before they were planned: the log starts at {low}"
            )
            abandoned.append(Abandoned(gone, 0, reason))
            offsets[partition] = low
    return offsets


@dataclass
class _Draft:
    """The plan in the making: ranges move from unplanned or resting to active."""

    topic: str
    topic_id: str
    """As the ranges carry it: `Ledger.planning_id`."""
    next: dict[int, int]
    watermarks: Mapping[int, Watermarks]
    active: list[Outstanding]
    resting: list[Outstanding]
    now_us: int
    limits: Limits
    cut: Callable[[OffsetRange], int] | None
    requests: list[RangeRequest] = field(default_factory=list)

    def fill(self) -> None:
        """Use every free place: for older ranges first, then for new ones."""
        while self.retry_one():
            pass
        for partition in sorted(self.watermarks):
            while self.start_one([partition]):
                pass

    def probe(self, breaker: Breaker) -> None:
        """Try a single range while the sink seems to be away.

        Retries and new ranges take turns: were it always a retry, one range that fails for a
        cause of its own would look like an outage for ever; were it always a new one, each probe
        would add a failing range.
        """
        if self.active or self.now_us < breaker.probe_at_us:
            return
        retry_first = breaker.failures % 2 == 0
        if retry_first and self.retry_one():
            return
        if not self.start_one(sorted(self.watermarks)):
            self.retry_one()

    def retry_one(self) -> bool:
        """Request the range that is due for the longest time; False when there is none."""
        due = [
            one
            for one in self.resting
            if one.not_before_us <= self.now_us and self.has_room(one.partition)
        ]
        if not due:
            return False
        oldest = min(due, key=lambda one: (one.not_before_us, one.partition, one.start))
        self.resting.remove(oldest)
        self.request(oldest)
        return True

    def start_one(self, partitions: Iterable[int]) -> bool:
        """Plan a new range in the first of the partitions that allows it; False when none does."""
        for partition in partitions:
            backlog = self.watermarks[partition].high - self.next[partition]
            unfinished = sum(o.partition == partition for o in (*self.active, *self.resting))
            if (
                backlog > 0
                and self.has_room(partition)
                and unfinished < self.limits.outstanding_max
            ):
                self.request(self.new_range(partition, backlog))
                return True
        return False

    def new_range(self, partition: int, backlog: int) -> Outstanding:
        start = self.next[partition]
        end = start + self.limits.range_size(backlog)
        if self.cut:
            whole = OffsetRange(self.topic, self.topic_id, partition, start, end)
            end = max(start + 1, min(end, self.cut(whole)))
        self.next[partition] = end
        return Outstanding(partition=partition, start=start, end=end)

    def has_room(self, partition: int) -> bool:
        return sum(one.partition == partition for one in self.active) < self.limits.in_flight

    def request(self, one: Outstanding) -> None:
        # Should the request be lost, it is made again after a pause.
        again_us = self.now_us + self.limits.pause_us(one.attempt)
        one = msgspec.structs.replace(one, not_before_us=again_us)
        self.active.append(one)
        offsets = OffsetRange(self.topic, self.topic_id, one.partition, one.start, one.end)
        self.requests.append(RangeRequest(offsets, one.attempt))

    def outstanding(self) -> list[Outstanding]:
        return sorted([*self.active, *self.resting], key=lambda one: (one.partition, one.start))
