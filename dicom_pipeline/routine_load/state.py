"""What SHOW ROUTINE LOAD says, typed. Passwords in it are dropped, values of rows too."""

import re
from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple

import msgspec

from dicom_pipeline.event_log import Watermarks
from dicom_pipeline.routine_load.properties import is_secret
from dicom_pipeline.routine_load.statements import commented_topic_id
from dicom_pipeline.warehouse.doris.reasons import without_values

_BEGINNING: Final = -2
_END: Final = -1
_WORDS: Final = {"OFFSET_ZERO": 0, "OFFSET_BEGINNING": _BEGINNING, "OFFSET_END": _END}
_REASON: Final = re.compile(
    r"ErrorReason\{code=errCode = (?P<code>\d+),? *msg='(?P<text>.*)'\}", re.DOTALL
)
_URL: Final = re.compile(r"https?://[^\s,]+")
_MASK: Final = "******"


class State(StrEnum):
    """The states of a routine load; the last two are final."""

    NEED_SCHEDULE = "NEED_SCHEDULE"
    RUNNING = "RUNNING"
    PAUSED = "PAUSED"
    STOPPED = "STOPPED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        """Whether nothing leads out of it."""
        return self in {State.STOPPED, State.CANCELLED}


class Code(IntEnum):
    """Doris' codes (``InternalErrorCode``) after which it does not resume by itself."""

    MANUAL_PAUSE = 100
    TOO_MANY_FAILURE_ROWS = 102
    CANNOT_RESUME = 105


class Reason(NamedTuple):
    """Why the state has changed."""

    code: int | None
    text: str
    """Doris' words up to where they may quote a value."""

    def __str__(self) -> str:
        return f"{self.text} (code {self.code})" if self.code is not None else self.text


class Statistic(msgspec.Struct, rename="camel"):
    """Figures since the routine load was created."""

    total_rows: int = 0
    loaded_rows: int = 0
    error_rows: int = 0
    unselected_rows: int = 0
    committed_task_num: int = 0
    aborted_task_num: int = 0
    received_bytes: int = 0


class RoutineLoadState(msgspec.Struct, frozen=True, kw_only=True):
    """One routine load, as a frontend tells of it."""

    id: int
    name: str
    state: State
    table: str
    topic: str
    topic_id: str | None
    """The id that the topic had when it was created; None: not by this program."""
    progress: dict[int, int]
    """The next offset of each partition; negative: one of Kafka's logical offsets."""
    lag: dict[int, int]
    """What Doris takes for the lag of each partition; it may be old."""
    statistic: Statistic
    reason: Reason
    error_log_urls: list[str]
    properties: dict[str, str]
    source: dict[str, str]
    """The properties of its consumers, passwords masked."""
    created: str
    paused: str

    @property
    def stays_paused(self) -> bool:
        """Whether it is paused until somebody resumes it; else Doris does, after a while."""
        return self.state is State.PAUSED and self.reason.code in set(Code)

    def next_offsets(self, watermarks: Mapping[int, Watermarks]) -> dict[int, int]:
        """The next offset of each partition that it reads and the topic has."""
        logical = {_BEGINNING: 0, _END: 1}
        return {
            partition: watermarks[partition][logical[offset]] if offset < 0 else offset
            for partition, offset in sorted(self.progress.items())
            if partition in watermarks
        }

    @property
    def begins_at_the_end(self) -> bool:
        """Whether some partition was to be read from its end, and was not yet."""
        return _END in self.progress.values()


def parse(row: Mapping[str, object]) -> RoutineLoadState:
    """One row of SHOW ROUTINE LOAD. Columns that are missing or odd count as empty."""
    texts = {name: "" if value is None else str(value) for name, value in row.items()}
    source = _object(texts.get("DataSourceProperties", ""))
    consumers = _object(texts.get("CustomProperties", ""))
    return RoutineLoadState(
        id=int(texts["Id"]),
        name=texts["Name"],
        state=State(texts["State"]),
        table=texts.get("TableName", ""),
        topic=source.get("topic", ""),
        topic_id=commented_topic_id(texts.get("Comment", "")),
        progress={
            int(partition): _next(offset)
            for partition, offset in _object(texts.get("Progress", "")).items()
        },
        lag={int(partition): int(lag) for partition, lag in _object(texts.get("Lag", "")).items()},
        statistic=_statistic(texts.get("Statistic", "")),
        reason=_reason(texts.get("ReasonOfStateChanged", "")),
        error_log_urls=_URL.findall(texts.get("ErrorLogUrls", "")),
        properties=_object(texts.get("JobProperties", "")),
        source={**source, **{name: _shown(name, value) for name, value in consumers.items()}},
        created=texts.get("CreateTime", ""),
        paused=texts.get("PauseTime", ""),
    )


def _next(shown: str) -> int:
    """SHOW tells the last offset that was read, or a word."""
    return _WORDS[shown] if shown in _WORDS else int(shown) + 1


def _statistic(text: str) -> Statistic:
    try:
        return msgspec.json.decode(text, type=Statistic)
    except msgspec.DecodeError:
        return Statistic()


def _reason(text: str) -> Reason:
    match = _REASON.search(text)
    if not match:
        return Reason(None, without_values(text))
    return Reason(int(match["code"]), without_values(match["text"]))


def _object(text: str) -> dict[str, str]:
    """A JSON object, its values as text."""
    try:
        return {name: str(value) for name, value in msgspec.json.decode(text, type=dict).items()}
    except msgspec.DecodeError:
        return {}


def _shown(name: str, value: str) -> str:
    return _MASK if is_secret(name) else value
