"""A run that sends failed conversions again: its configuration, its metadata and its failures."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import Final, Self

import dagster as dg
from pydantic import Field

from dicom_pipeline.backfill.candidates import Candidate
from dicom_pipeline.backfill.report import Report
from dicom_pipeline.backfill.selection import (
    LIMIT,
    MAX_ATTEMPTS,
    Selection,
    distinct,
    moment,
)
from dicom_pipeline.errors import PipelineError, TransientError
from dicom_pipeline.imaging.outcomes import ErrorCode

Metadata = dict[str, dg.MetadataValue | int]
_Row = dict[str, str | int | float | bool | None]

NAMED: Final = 500
"""Objects that a dry run lists in its metadata; the command lists all of them."""

RETRIES: Final = dg.RetryPolicy(max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL)
"""While a system is away. What was sent before the failure is not sent again."""


class BackfillConfig(dg.Config):
    """Which failed conversions to send again. An empty list lets everything pass."""

    codes: list[str] = Field(
        default=[], description=f"Error codes, of {', '.join(sorted(ErrorCode))}."
    )
    transfer_syntaxes: list[str] = Field(
        default=[], description="Transfer syntax UIDs of the stored files."
    )
    studies: list[str] = Field(default=[], description="Study instance UIDs.")
    tenants: list[str] = Field(default=[], description="Tenants.")
    since: str = Field(
        default="", description="Received at or after this time: ISO 8601, UTC without a zone."
    )
    until: str = Field(default="", description="Received before this time.")
    max_attempts: int = Field(
        default=MAX_ATTEMPTS, description="Leave out objects that had so many further attempts."
    )
    limit: int = Field(default=LIMIT, description="Most objects to send, the oldest first.")
    backoff_seconds: float = Field(
        default=0,
        description="Pause between the receipt and the first further attempt; it doubles with "
        "each one after that. 0: no pause.",
    )
    again: bool = Field(
        default=False,
        description="Also send what an earlier backfill has sent and nobody has decided since.",
    )
    dry_run: bool = Field(default=False, description="Only tell what would be sent.")

    @classmethod
    def of(cls, selection: Selection) -> Self:
        """The configuration of a run for a selection without a time span."""
        return cls(
            codes=list(selection.codes),
            transfer_syntaxes=list(selection.transfer_syntaxes),
            studies=list(selection.studies),
            tenants=list(selection.tenants),
            max_attempts=selection.max_attempts,
            limit=selection.limit,
            backoff_seconds=selection.backoff_seconds,
            again=selection.again,
        )

    def selection(self) -> Selection:
        """What the configuration means.

        Raises:
            ConfigurationError: see `moment` and `Selection.checked`.
        """
        return Selection(
            codes=distinct(self.codes),
            transfer_syntaxes=distinct(self.transfer_syntaxes),
            studies=distinct(self.studies),
            tenants=distinct(self.tenants),
            since=moment("since", self.since),
            until=moment("until", self.until),
            max_attempts=self.max_attempts,
            limit=self.limit,
            backoff_seconds=self.backoff_seconds,
            again=self.again,
        ).checked()


@contextmanager
def explained() -> Iterator[None]:
    """Errors of the core as failures of the step: only a system that is away is tried again."""
    try:
        yield
    except PipelineError as error:
        raise dg.Failure(str(error), allow_retries=isinstance(error, TransientError)) from error


def metadata(report: Report) -> Metadata:
    """Figures, and the same as a table: counts, codes and transfer syntaxes only."""
    rows: list[_Row] = [
        {
            "outcome": one.disposition,
            "error_code": one.error_code,
            "transfer_syntax_uid": one.transfer_syntax_uid,
            "objects": one.number,
        }
        for one in report.counts
    ]
    return {**report.figures(), **_table("by_cause", rows)}


def names(pages: Iterable[list[Candidate]]) -> Metadata:
    """The objects that a dry run has found, by their UIDs."""
    rows: list[_Row] = [
        {
            "tenant_id": one.event.tenant_id,
            "sop_uid": one.event.sop_uid,
            "error_code": one.error_code,
            "transfer_syntax_uid": one.event.transfer_syntax_uid,
            "next_attempt": one.event.attempt,
        }
        for one in islice(chain.from_iterable(pages), NAMED)
    ]
    return _table("objects", rows)


def _table(name: str, rows: list[_Row]) -> Metadata:
    if not rows:
        return {}
    return {name: dg.MetadataValue.table([dg.TableRecord(row) for row in rows])}
