"""What the rendition stage says of one receipt: in the log queue, and in ``rendition``."""

from typing import Final, NamedTuple

import msgspec

from dicom_pipeline.imaging.outcomes import Action, ErrorCode, Outcome
from dicom_pipeline.messages import Event, TransferStatus, phase_of, row_version
from dicom_pipeline.storage import video_name
from dicom_pipeline.table_columns import Row

CIRCUMSTANCES: Final = frozenset({ErrorCode.TIMEOUT, ErrorCode.CRASHED, ErrorCode.LIMIT_EXCEEDED})
"""Failures that the limits of a worker or a busy machine may be to blame for."""
_SHOWABLE: Final = frozenset({Action.KEEP, Action.TRANSCODE, Action.EXTRACT_VIDEO})


class Decided(NamedTuple):
    """A receipt and what became of its object."""

    event: Event
    outcome: Outcome

    @property
    def phase(self) -> int:
        """A failure by circumstances never overrides what was found out on the same attempt."""
        error = self.outcome.error
        tentative = error is not None and error.code in CIRCUMSTANCES
        return phase_of(self.event.attempt, tentative=tentative)

    @property
    def row_version(self) -> int:
        """What the rows of this word are ordered by."""
        return row_version(self.event.version, self.phase)

    def told(self) -> Event:
        """The event once more, with what became of the object."""
        if self.outcome.error:
            status, target = TransferStatus.FAILED, None
        elif self.outcome.target_ts:
            status, target = TransferStatus.SUCCESS, self.outcome.target_ts
        else:
            status, target = TransferStatus.NO_NEED, None
        return msgspec.structs.replace(
            self.event, phase=self.phase, transfer_status=status, target_ts=target
        )

    def counted_as(self) -> str:
        """The name under which a run counts this."""
        error = self.outcome.error
        return f"failed_{error.code}" if error else str(self.outcome.action)


def rendition_row(decided: Decided) -> Row:
    """The row of ``rendition``: what a viewer should open for the object."""
    event, outcome = decided
    converted = outcome.error is None and outcome.target_ts is not None
    showable = outcome.error is None and outcome.action in _SHOWABLE
    video = outcome.action is Action.EXTRACT_VIDEO
    return {
        "tenant_id": event.tenant_id,
        "sop_uid": event.sop_uid,
        "trace_id": event.trace_id,
        "row_version": decided.row_version,
        "study_uid": event.study_uid,
        "series_uid": event.series_uid,
        "sop_class_uid": event.sop_class_uid,
        "action": str(outcome.action),
        "rule": outcome.rule,
        "reason": outcome.reason,
        "source_path": event.file_path,
        "file_path": (video_name(event.file_path) if video else event.file_path)
        if converted
        else None,
        "transfer_syntax_uid": (outcome.target_ts or event.transfer_syntax_uid)
        if showable
        else None,
        "file_size": outcome.file_size if converted else None,
        "number_of_frames": outcome.frames,
        "error_code": outcome.error.code if outcome.error else None,
    }
