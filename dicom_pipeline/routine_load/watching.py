"""What to make of a look at the routine load: is it well, what is accounted for, who must act."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec

from dicom_pipeline.event_log import Watermarks
from dicom_pipeline.routine_load.manager import OTHER_COLUMNS
from dicom_pipeline.routine_load.positions import created_anew
from dicom_pipeline.routine_load.state import Code, RoutineLoadState, State

MOST_RESUMES: Final = 5
"""How often it is resumed without progress before a person is asked."""
FIRST_RESUME: Final = 60_000_000
"""µs that Doris has to resume by itself before the first resume; doubles with each."""
_STALLED: Final = 300_000_000
"""µs without progress, though there is something to read, and it runs."""


class Watch(msgspec.Struct, kw_only=True):
    """What a look leaves behind for the next one: the sensor's cursor."""

    id: int = 0
    """Doris' number of the routine load."""
    positions: dict[int, int] = {}
    error_rows: int = 0
    total_rows: int = 0
    suspect: dict[int, int] = {}
    """Where each partition stood when rows were last seen to be missing: up to there a repair has
    to account for every message."""
    resumes: int = 0
    """Resumes since the last progress."""
    moved_at: int = 0
    """When there was progress, or nothing to read, or a resume (µs)."""
    lag: int = 0
    told: list[str] | None = None
    """The problems that were last told; None: nothing was told yet."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """One look. ``state`` None: there is no routine load."""

    name: str
    topic: str
    topic_id: str
    state: RoutineLoadState | None
    watermarks: Mapping[int, Watermarks]
    committed: Mapping[int, int]
    """Below these offsets everything is accounted for."""
    other_columns: bool = False
    """Whether it was created for other columns than the table has now."""


@dataclass(kw_only=True)
class Verdict:
    """What follows from a look."""

    watch: Watch
    needs_person: list[str] = field(default_factory=list)
    """Reasons, each with its remedy."""
    passing: list[str] = field(default_factory=list)
    """What is mended by itself."""
    commit: dict[int, int] = field(default_factory=dict)
    """Below these offsets everything is accounted for now."""
    resume: bool = False
    moved: bool = True
    """Whether anything differs from the last look."""

    @property
    def problems(self) -> list[str]:
        """Everything that is not as it should be."""
        return self.needs_person + self.passing


def judge(watch: Watch, seen: Seen, now: int) -> Verdict:
    """Compare a look with the last one. ``now``: µs since the epoch."""
    if seen.state is None:
        behind = lag(None, seen.watermarks)
        verdict = Verdict(watch=Watch(told=watch.told, moved_at=now, lag=behind))
        verdict.moved = _figures(verdict.watch) != _figures(watch)
        verdict.needs_person.append(
            f"there is no routine load {seen.name}: nobody feeds the table: create it "
            "(routine_load_create_job, or `dicom-pipeline routine-load create`)"
        )
        return verdict
    verdict = Verdict(watch=_follow(watch, seen, seen.state, now))
    verdict.moved = _figures(verdict.watch) != _figures(watch)
    _judge_topic(verdict, seen, seen.state)
    if not verdict.needs_person:
        _judge_rows(verdict, seen)
        _judge_state(verdict, seen.state, now)
        if seen.other_columns:
            verdict.needs_person.append(OTHER_COLUMNS)
    return verdict


def lag(state: RoutineLoadState | None, watermarks: Mapping[int, Watermarks]) -> int:
    """Messages that it has not read."""
    stood = state.next_offsets(watermarks) if state else {}
    return sum(
        max(0, high - max(low, stood.get(partition, low)))
        for partition, (low, high) in watermarks.items()
    )


def _figures(watch: Watch) -> tuple[object, ...]:
    return (watch.id, watch.positions, watch.error_rows, watch.total_rows, watch.lag)


def _follow(watch: Watch, seen: Seen, state: RoutineLoadState, now: int) -> Watch:
    """The watch after this look."""
    positions = state.next_offsets(seen.watermarks)
    rows = state.statistic
    same = watch.id == state.id
    suspect = {
        partition: end
        for partition, end in watch.suspect.items()
        if seen.committed.get(partition, 0) < end
    }
    if _rows_are_missing(watch if same else Watch(), seen, state, positions):
        suspect = positions
    progress = not same or positions != watch.positions
    behind = lag(state, seen.watermarks)
    return Watch(
        id=state.id,
        positions=positions,
        error_rows=rows.error_rows,
        total_rows=rows.total_rows,
        suspect=suspect,
        resumes=0 if progress and state.state is State.RUNNING else watch.resumes,
        moved_at=watch.moved_at if watch.moved_at and behind and not progress else now,
        lag=behind,
        told=watch.told,
    )


def _rows_are_missing(
    before: Watch, seen: Seen, state: RoutineLoadState, positions: Mapping[int, int]
) -> bool:
    """Whether rows were refused since the last look, or messages passed without being read.

    A repair moves the offsets and notes them as accounted for, so what is below these is left out.
    Rows that are read twice are no harm.
    """
    if state.statistic.error_rows > before.error_rows:
        unread = {p: end for p, end in positions.items() if seen.committed.get(p, 0) < end}
        return before.id != 0 or bool(unread)
    if before.id == 0:
        return False
    passed = sum(
        max(0, end - max(before.positions.get(partition, end), seen.committed.get(partition, 0)))
        for partition, end in positions.items()
    )
    return passed > state.statistic.total_rows - before.total_rows


def _judge_topic(verdict: Verdict, seen: Seen, state: RoutineLoadState) -> None:
    """Whether it reads what it should: this topic, all its partitions, what is still there."""
    if state.topic_id not in {None, seen.topic_id}:
        verdict.needs_person.append(
            f"{created_anew(seen.topic)}: recreate it with start OFFSET_BEGINNING"
        )
        return
    for partition, offset in verdict.watch.positions.items():
        low, high = seen.watermarks[partition]
        if offset > high:
            verdict.needs_person.append(
                f"partition {partition} ends at {high}, but it claims to have read up to {offset}: "
                "the topic was created anew or restored from an older copy: recreate it with start "
                "OFFSET_BEGINNING"
            )
        elif offset < low:
            verdict.needs_person.append(
                f"{low - offset} messages of partition {partition} are gone that it has not read, "
                "and it cannot go on at what is no longer there: run the repair"
            )
    unread = sorted(seen.watermarks.keys() - state.progress.keys())
    if state.progress and unread:
        verdict.passing.append(
            f"partitions {', '.join(map(str, unread))} of {seen.topic} are not read: recreate it "
            "if this stays"
        )


def _judge_rows(verdict: Verdict, seen: Seen) -> None:
    watch = verdict.watch
    if watch.suspect:
        spans = [
            f"{partition}:{seen.committed.get(partition, seen.watermarks[partition].low)}-{end}"
            for partition, end in sorted(watch.suspect.items())
        ]
        verdict.needs_person.append(
            f"rows are missing of the messages {', '.join(spans)} (partition:offsets; "
            f"{watch.error_rows} rows were refused in all): run the repair"
        )
    elif seen.state and seen.state.state is not State.PAUSED:  # while it is, a repair may commit
        verdict.commit = {
            partition: end
            for partition, end in watch.positions.items()
            if seen.committed.get(partition) != end
        }


def _judge_state(verdict: Verdict, state: RoutineLoadState, now: int) -> None:
    if state.state is State.PAUSED:
        _judge_pause(verdict, state, now)
    elif state.state.is_final:
        verdict.needs_person.append(f"it is {state.state}: {state.reason}: create it")
    elif now - verdict.watch.moved_at > _STALLED:
        seconds = (now - verdict.watch.moved_at) // 1_000_000
        verdict.needs_person.append(
            f"it is {state.state}, but has read nothing for {seconds} s though there is something "
            "to read: pause and resume it, and look at the backends' logs"
        )


def _judge_pause(verdict: Verdict, state: RoutineLoadState, now: int) -> None:
    watch = verdict.watch
    if state.reason.code == Code.MANUAL_PAUSE:
        verdict.needs_person.append(
            "it was paused by a person, or by an operation that was cut off: resume it, or repeat "
            "that operation"
        )
    elif state.reason.code == Code.TOO_MANY_FAILURE_ROWS:
        verdict.needs_person.append(f"it was paused: {state.reason}: run the repair")
    elif state.reason.code == Code.CANNOT_RESUME:
        verdict.needs_person.append(
            f"it was paused and cannot resume by itself: {state.reason}: mend the cause, then run "
            "the repair"
        )
    elif watch.resumes >= MOST_RESUMES:
        verdict.needs_person.append(
            f"it was resumed {watch.resumes} times and paused again: {state.reason}: mend the "
            "cause, then resume it"
        )
    else:
        verdict.passing.append(f"it is paused and will be resumed: {state.reason}")
        if now - watch.moved_at > FIRST_RESUME * 2**watch.resumes:
            verdict.resume = True
            watch.resumes += 1
            watch.moved_at = now


def decode(cursor: str | None) -> Watch:
    """The watch in a cursor; an empty one when it is missing or of another program."""
    try:
        return msgspec.json.decode(cursor or "{}", type=Watch)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return Watch()


def encode(watch: Watch) -> str:
    """The cursor."""
    return msgspec.json.encode(watch).decode()


def tells_anew(verdict: Verdict) -> bool:
    """Whether the problems are others than those told last; notes them as told.

    Figures in a sentence change with every look: what is compared is where it begins.
    """
    told: Sequence[str] = sorted({problem.split(":")[0] for problem in verdict.problems})
    anew = told != verdict.watch.told
    verdict.watch.told = list(told)
    return anew
