"""Whether an object may be stored: by its request first, and then by its key fields."""

from typing import NamedTuple

from dicom_pipeline.storage import InvalidUIDError, check_uid
from receiver.fields import KeyFields
from receiver.statuses import Status


class StoreRequest(NamedTuple):
    """One C-STORE request."""

    sop_class_uid: str
    """As the command says, like the next one."""
    sop_instance_uid: str
    abstract_syntax: str
    """As the presentation context says, like the next one."""
    transfer_syntax_uid: str


class Refusal(Exception):  # noqa: N818 - not an error of ours: an answer
    """The object is not taken, for the reason that the status tells."""

    def __init__(self, status: Status) -> None:
        super().__init__(status.comment)
        self.status = status


def check_request(request: StoreRequest) -> None:
    """Whether an object may follow.

    Raises:
        Refusal: it may not.
    """
    if request.sop_class_uid != request.abstract_syntax:
        raise Refusal(Status.CLASS_NOT_SUPPORTED)
    _require_uid("SOPInstanceUID", request.sop_instance_uid, Status.INVALID_INSTANCE)


def check_fields(fields: KeyFields, request: StoreRequest) -> None:
    """Whether an object may be stored.

    Raises:
        Refusal: it may not.
    """
    if missing := _missing(fields):
        raise Refusal(missing if fields.complete else Status.UNREADABLE)
    if fields.sop_class_uid != request.sop_class_uid:
        raise Refusal(Status.CLASS_MISMATCH)
    if fields.sop_instance_uid != request.sop_instance_uid:
        raise Refusal(Status.INSTANCE_MISMATCH)
    _require_uid("StudyInstanceUID", fields.study_instance_uid, Status.INVALID_STUDY)
    _require_uid("SeriesInstanceUID", fields.series_instance_uid, Status.INVALID_SERIES)


def _missing(fields: KeyFields) -> Status | None:
    """What to answer where a UID is missing; None: none is."""
    if not fields.sop_class_uid:
        return Status.NO_SOP_CLASS
    if not fields.sop_instance_uid:
        return Status.NO_SOP_INSTANCE
    if not fields.study_instance_uid:
        return Status.NO_STUDY
    return None if fields.series_instance_uid else Status.NO_SERIES


def _require_uid(keyword: str, uid: str, otherwise: Status) -> None:
    try:
        check_uid(keyword, uid)
    except InvalidUIDError as error:
        raise Refusal(otherwise) from error
