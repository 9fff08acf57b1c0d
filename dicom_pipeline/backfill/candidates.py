"""Failed conversions, and what keeps each of them from being sent again.

All of it is asked of the warehouse, in SQL that SQLite and Doris both take.
"""

from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from dicom_pipeline.backfill.selection import Selection
from dicom_pipeline.errors import PermanentError
from dicom_pipeline.messages import PHASES, Event, TransferStatus
from dicom_pipeline.stages.conversion_records import FAILED, RENDITION_STAGE
from dicom_pipeline.table_columns import Row
from dicom_pipeline.warehouse import (
    CONVERSION_RECORD,
    CONVERSION_RETRY,
    IMAGE,
    OBJECT_META,
    Warehouse,
)

PAGE: Final = 2_000
"""Candidates that are read, published and written down at a time."""
BACKOFF_MAX_SECONDS: Final = 86_400.0
"""The longest pause between two attempts."""


class Disposition(StrEnum):
    """Whether a failed conversion can be sent again, and if not, why."""

    READY = "ready"
    SUPERSEDED = "superseded"
    """The object was received again with other bytes: nobody opens this file any more."""
    NO_RECEIPT = "no_receipt"
    """``dicom_object_meta`` has no row of the receipt (yet, or not any more)."""
    QUEUED = "queued"
    """A backfill has sent it; it is not decided yet."""
    EXHAUSTED = "exhausted"
    """It had all the attempts that the selection grants."""
    NOT_DUE = "not_due"
    """The pause since its last attempt is not over."""


class Count(NamedTuple):
    """How many failed conversions are alike."""

    disposition: str
    error_code: str
    transfer_syntax_uid: str
    number: int


class Candidate(NamedTuple):
    """A failed conversion that can be sent again."""

    event: Event
    """As it is to be published: the receipt's own event with the next attempt."""
    failure: Row
    """Columns of ``dicom_conversion_retry`` that tell of the failed attempt."""

    @property
    def error_code(self) -> str:
        """What the attempt failed with."""
        return str(self.failure["error_code"])


_OWN_TO_A_WORD: Final = {"phase", "attempt", "target_ts", "transfer_status"}
"""Fields of an event that a stage's word on it changes."""
_NOT_IN_THE_TABLE: Final = {"character_set", "schema"}
"""``character_set`` is for reading headers, which no conversion does."""
_EVENT_FIELDS: Final = tuple(
    name
    for name in Event.__struct_fields__
    if name not in _OWN_TO_A_WORD and name not in _NOT_IN_THE_TABLE
)
_FAILURE_COLUMNS: Final = (
    "tenant_id",
    "trace_id",
    "stage",
    "attempt",
    "row_version",
    "sop_uid",
    "study_uid",
    "transfer_syntax_uid",
    "error_code",
    "reason",
    "library",
    "library_version",
)
_RECEIPT_COLUMNS: Final = tuple(name for name in _EVENT_FIELDS if name not in _FAILURE_COLUMNS)

_FILTERS: Final = {
    "codes": "error_code",
    "transfer_syntaxes": "transfer_syntax_uid",
    "studies": "study_uid",
    "tenants": "tenant_id",
}
"""The column that each list of a `Selection` is about."""


def count(warehouse: Warehouse, selection: Selection, now: int) -> list[Count]:
    """All selected failures, by what keeps them, error code and transfer syntax.

    ``now``: µs since the epoch.
    """
    candidates, parameters = _candidates(selection, now)
    rows = warehouse.query(
        "SELECT disposition, error_code, transfer_syntax_uid, COUNT(*) AS number_of_failures "  # noqa: S608 - our own names
        f"FROM ({candidates}) AS candidate "
        "GROUP BY disposition, error_code, transfer_syntax_uid "
        "ORDER BY disposition, error_code, transfer_syntax_uid",
        **parameters,
    )
    return [
        Count(
            str(row["disposition"]),
            str(row["error_code"]),
            str(row["transfer_syntax_uid"]),
            int(str(row["number_of_failures"])),
        )
        for row in rows
    ]


def ready(warehouse: Warehouse, selection: Selection, now: int) -> Iterator[list[Candidate]]:
    """The failures that can be sent now, up to the limit, the oldest receipts first, in pages."""
    limit = selection.limit
    candidates, parameters = _candidates(selection, now)
    after: dict[str, object] = {"after_version": -1, "after_trace": ""}
    while limit > 0:
        size = min(PAGE, limit)
        rows = warehouse.query(
            f"SELECT * FROM ({candidates}) AS candidate "  # noqa: S608 - our own names and numbers
            "WHERE disposition = :ready AND (row_version > :after_version "
            "OR (row_version = :after_version AND trace_id > :after_trace)) "
            f"ORDER BY row_version, trace_id LIMIT {size}",
            ready=Disposition.READY.value,
            **parameters,
            **after,
        )
        if rows:
            yield [_candidate(row) for row in rows]
        if len(rows) < size:
            return
        limit -= size
        after = {"after_version": rows[-1]["row_version"], "after_trace": rows[-1]["trace_id"]}


def _candidates(selection: Selection, now: int) -> tuple[str, dict[str, object]]:
    """The query for all selected failures with their disposition, and its parameters."""
    filters, parameters = _filters(selection)
    columns = [
        *(f"failure.{name} AS {name}" for name in _FAILURE_COLUMNS),
        *(f"receipt.{name} AS {name}" for name in _RECEIPT_COLUMNS),
    ]
    sql = (
        f"SELECT {', '.join(columns)}, {_disposition(selection)} AS disposition "  # noqa: S608 - our own names
        f"FROM {CONVERSION_RECORD} AS failure "
        f"LEFT JOIN {OBJECT_META} AS receipt ON receipt.trace_id = failure.trace_id "
        "AND receipt.tenant_id = failure.tenant_id "
        f"LEFT JOIN {IMAGE} AS image ON image.tenant_id = failure.tenant_id "
        "AND image.sop_uid = failure.sop_uid "
        f"{_retry('sent', 'failure.attempt')} {_retry('earlier', 'failure.attempt - 1')} "
        f"WHERE {' AND '.join(filters)}"
    )
    if selection.backoff_seconds:
        parameters["now"] = now
    return sql, {**parameters, "max_attempts": selection.max_attempts}


def _retry(alias: str, attempt: str) -> str:
    """A join with what a backfill wrote down when it answered an attempt."""
    return (
        f"LEFT JOIN {CONVERSION_RETRY} AS {alias} ON {alias}.tenant_id = failure.tenant_id "
        f"AND {alias}.trace_id = failure.trace_id AND {alias}.stage = failure.stage "
        f"AND {alias}.attempt = {attempt}"
    )


def _disposition(selection: Selection) -> str:
    # The image table says which receipt of an object is the newest one with bytes of its own.
    newer = "image.trace_id <> failure.trace_id AND image.row_version > failure.row_version"
    cases = [
        (newer, Disposition.SUPERSEDED),
        ("receipt.trace_id IS NULL", Disposition.NO_RECEIPT),
    ]
    if not selection.again:
        cases.append(("sent.trace_id IS NOT NULL", Disposition.QUEUED))
    cases.append(("failure.attempt >= :max_attempts", Disposition.EXHAUSTED))
    if selection.backoff_seconds:
        last = "COALESCE(earlier.requested, receipt.version)"
        cases.append((f":now - {last} < {_pause(selection)}", Disposition.NOT_DUE))
    whens = " ".join(f"WHEN {condition} THEN '{name}'" for condition, name in cases)
    return f"CASE {whens} ELSE '{Disposition.READY}' END"


def _pause(selection: Selection) -> str:
    """µs before the attempt that follows ``failure.attempt``; not every SQL has a power."""
    pauses = []
    for attempt in range(selection.max_attempts):
        seconds = min(selection.backoff_seconds * 2**attempt, BACKOFF_MAX_SECONDS)
        pauses.append(f"WHEN {attempt} THEN {round(seconds * 1_000_000)}")
        if seconds == BACKOFF_MAX_SECONDS:
            break
    return f"CASE failure.attempt {' '.join(pauses)} ELSE {round(BACKOFF_MAX_SECONDS * 1e6)} END"


def _filters(selection: Selection) -> tuple[list[str], dict[str, object]]:
    filters = ["failure.stage = :stage", "failure.state = :state"]
    parameters: dict[str, object] = {"stage": RENDITION_STAGE, "state": FAILED}
    for name, column in _FILTERS.items():
        values: Sequence[str] = getattr(selection, name)
        if values:
            named = {f"{name}_{number}": value for number, value in enumerate(values)}
            listed = ", ".join(f":{parameter}" for parameter in named)
            filters.append(f"failure.{column} IN ({listed})")
            parameters.update(named)
    # By the version, a number: the systems differ in how they compare times.
    for name, operator in (("since", ">="), ("until", "<")):
        version = getattr(selection, name)
        if version is not None:
            filters.append(f"failure.row_version {operator} :{name}")
            parameters[name] = version * PHASES
    return filters, parameters


def _candidate(row: Mapping[str, object]) -> Candidate:
    fields = {name: row[name] for name in _EVENT_FIELDS}
    fields["findings"] = [line for line in str(row["findings"]).split("\n") if line]
    fields["attempt"] = int(str(row["attempt"])) + 1
    fields["transfer_status"] = TransferStatus.PENDING
    fields["target_ts"] = None
    try:
        event = msgspec.convert(fields, Event)
    except msgspec.ValidationError as error:  # it names the field, not the value
        raise PermanentError(
            f"{OBJECT_META}: the row of receipt {row['trace_id']} makes no event ({error}): load "
            "it again from log_queue, or leave its study out of the backfill"
        ) from None
    return Candidate(event, {name: row[name] for name in _FAILURE_COLUMNS})
