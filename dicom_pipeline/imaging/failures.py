"""From whatever was raised for an object, or became of its worker, to a stated failure."""

import errno
import traceback
from pathlib import Path
from typing import Final

import pydicom

from dicom_pipeline.imaging.codecs import library_version
from dicom_pipeline.imaging.outcomes import (
    RETRYABLE,
    Action,
    ConversionError,
    ErrorCode,
    ImagingError,
    Outcome,
)
from dicom_pipeline.imaging.rendering import Decision
from dicom_pipeline.workers import TaskFailure, describe

NOT_DECIDED: Final = Decision(Action.FAIL, "not-decided", "the object could not be examined")
_NOT_DECODABLE: Final = Decision(
    Action.FAIL, "not-decodable", "the headers are right, but the pixels cannot be decoded in full"
)
_LIMITS: Final = frozenset({errno.ENOMEM, errno.EFBIG, errno.ENAMETOOLONG})
"""Refusals that the size of the object or the length of its name has caused."""
_FAILURE_CODES: Final = {
    "timeout": ErrorCode.TIMEOUT,
    "crashed": ErrorCode.CRASHED,
    "memory": ErrorCode.LIMIT_EXCEEDED,
    "exception": ErrorCode.INTERNAL,
}


def failure(
    decision: Decision,
    code: ErrorCode,
    reason: str,
    library: str | None = None,
    version: str | None = None,
) -> Outcome:
    """The outcome of an object that has no right pixels.

    Args:
        decision: what had been decided.
        code: why there are none.
        reason: the same for people.
        library: the decoder or encoder concerned.
        version: of the library; it may be left out for a package of Python's.
    """
    if library and not version:
        version = library_version(library)
    if decision.action is Action.KEEP:
        decision = _NOT_DECODABLE
    return Outcome(
        action=Action.FAIL,
        rule=decision.rule,
        reason=decision.reason,
        error=ConversionError(
            code=code,
            reason=reason,
            library=library,
            library_version=version,
            retryable=code in RETRYABLE,
        ),
    )


def failed_outcome(lost: TaskFailure, decision: Decision = NOT_DECIDED) -> Outcome:
    """The outcome of an object that its worker did not survive, or that took too long."""
    return failure(decision, _FAILURE_CODES[lost.code], lost.message)


def outcome_of(error: Exception, decision: Decision, source: Path) -> Outcome:
    """The outcome of an object for which an exception was raised.

    Args:
        error: what was raised.
        decision: what had been decided before.
        source: the file of the object.
    """
    match error:
        case ImagingError():
            return failure(decision, error.code, error.reason, error.library, error.library_version)
        case MemoryError():
            return failure(
                decision, ErrorCode.LIMIT_EXCEEDED, "needs more memory than a worker may use"
            )
        case RecursionError():
            return failure(decision, ErrorCode.UNREADABLE_OBJECT, "sequences nested too deep")
        case OSError():
            reason = f"{type(error).__name__} {error.errno}"
            return failure(decision, _blame_system(error, source), reason)
        case _:
            return failure(decision, _blame(error), describe(error))


def _blame_system(error: OSError, source: Path) -> ErrorCode:
    """Tell what the system refused from what is wrong with the object.

    pydicom raises OSError for broken sequences; only those of the system have a number.
    """
    if error.errno is None:
        return _blame(error)
    if error.errno in _LIMITS:
        return ErrorCode.LIMIT_EXCEEDED
    if error.errno == errno.ENOENT and error.filename in {source, str(source)}:
        return ErrorCode.FILE_MISSING
    return ErrorCode.IO_ERROR


def _blame(error: Exception) -> ErrorCode:
    """An unforeseen exception from inside pydicom means a data set that it cannot read."""
    frames = traceback.extract_tb(error.__traceback__)
    in_pydicom = f"{Path(pydicom.__file__).parent}/"
    read = any(frame.filename.startswith(in_pydicom) for frame in frames)
    return ErrorCode.UNREADABLE_OBJECT if read else ErrorCode.INTERNAL
