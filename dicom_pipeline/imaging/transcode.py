"""The whole job for one object: decide, decode each frame, write a display copy, prove it right.

To be called in a worker process with limits (`dicom_pipeline.workers`): a codec may hang or crash.
"""

import errno
import traceback
from pathlib import Path
from typing import Final

import pydicom

from dicom_pipeline.imaging.decoding import decode_frames, library_version
from dicom_pipeline.imaging.display_copy import display_copy, write_object
from dicom_pipeline.imaging.encoding import digest, displayable, encode_frames
from dicom_pipeline.imaging.image import Image, describe_image
from dicom_pipeline.imaging.objects import DicomObject, open_object
from dicom_pipeline.imaging.outcomes import (
    RETRYABLE,
    Action,
    ConversionError,
    ErrorCode,
    ImagingError,
    Outcome,
)
from dicom_pipeline.imaging.rendering import Decision, decide
from dicom_pipeline.imaging.transfer_syntaxes import (
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_LS_LOSSLESS,
    Family,
    Remedy,
)
from dicom_pipeline.storage import atomic_file
from dicom_pipeline.workers import TaskFailure, describe

__all__ = ["Outcome", "failed_outcome", "render"]

_WORD: Final = 16
_NOT_DECIDED: Final = Decision(Action.FAIL, "not-decided", "the object could not be examined")
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


def render(source: Path, target: Path) -> Outcome:
    """Decide about the object in ``source``; write its rendition to ``target`` if it needs one.

    A compressed image that is kept was decoded in full. A rendition appears under its name only
    after it was read back, decoded and found equal to the original, pixel by pixel. Whatever is
    wrong with an object is told in the outcome; nothing is raised for it.
    """
    decision = _NOT_DECIDED
    try:
        with open_object(source) as opened:
            decision = decide(opened)
            return _carry_out(decision, opened, target)
    except ImagingError as error:
        return _failure(decision, error.code, error.reason, error.library)
    except MemoryError:
        return _failure(
            decision, ErrorCode.LIMIT_EXCEEDED, "needs more memory than a worker may use"
        )
    except RecursionError:
        return _failure(decision, ErrorCode.UNREADABLE_OBJECT, "sequences nested too deep")
    except OSError as error:
        code = _blame_system(error, source)
        return _failure(decision, code, f"{type(error).__name__} {error.errno}")
    except Exception as error:  # noqa: BLE001  a defect here costs one object, not the run
        return _failure(decision, _blame(error), describe(error))


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


def failed_outcome(failure: TaskFailure) -> Outcome:
    """The outcome of an object that its worker did not survive, or that took too long."""
    return _failure(_NOT_DECIDED, _FAILURE_CODES[failure.code], failure.message)


def _failure(
    decision: Decision, code: ErrorCode, reason: str, library: str | None = None
) -> Outcome:
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
            library_version=library_version(library) if library else None,
            retryable=code in RETRYABLE,
        ),
    )


def _carry_out(decision: Decision, source: DicomObject, target: Path) -> Outcome:
    match decision.action:
        case Action.KEEP:
            return _keep(decision, source)
        case Action.TRANSCODE:
            return _transcode(decision, source, target)
        case Action.EXTRACT_VIDEO:
            error = ConversionError(
                code=ErrorCode.MISSING_EXTRA,
                reason="video extraction is not part of this version",
            )
            return _outcome(decision, error=error)
        case Action.NO_PIXELS:
            return _outcome(decision)
        case Action.FAIL:
            assert decision.error_code is not None
            return _failure(decision, decision.error_code, decision.reason)


def _outcome(
    decision: Decision, *, frames: int | None = None, error: ConversionError | None = None
) -> Outcome:
    return Outcome(
        action=decision.action,
        rule=decision.rule,
        reason=decision.reason,
        frames=frames,
        error=error,
    )


def _keep(decision: Decision, source: DicomObject) -> Outcome:
    """Decode a compressed image in full, since a viewer may show a damaged one without a word."""
    syntax = source.syntax
    assert syntax is not None
    if not syntax.encapsulated:
        return _outcome(decision)
    image = describe_image(source)
    if syntax.family is Family.RLE and image.bits_allocated == 1:
        unchecked = f"{decision.reason}; not decoded: no decoder takes RLE of 1 bit a pixel"
        return _outcome(decision._replace(reason=unchecked))
    return _outcome(decision, frames=sum(1 for _ in decode_frames(source, image)))


def _transcode(decision: Decision, source: DicomObject, target: Path) -> Outcome:
    image = describe_image(source)
    encoded = encode_frames(
        displayable(source, image), _target_syntax(decision, source, image), image
    )
    count = len(encoded.frames)
    copy = display_copy(decision, source, image, encoded)
    # What the copy holds is not held a second time: an object may be as large as half the memory.
    encoded.frames.clear()
    del source.dataset[str(source.pixel_keyword)]
    with atomic_file(target) as file:
        write_object(file, copy, encoded.syntax_uid)
        file.flush()
        size = file.tell()
        del copy
        _verify(Path(file.name), encoded.digests)
    return Outcome(
        action=decision.action,
        rule=decision.rule,
        reason=decision.reason,
        target_ts=encoded.syntax_uid,
        file_size=size,
        frames=count,
    )


def _target_syntax(decision: Decision, source: DicomObject, image: Image) -> str:
    """JPEG-LS lossless, except where it cannot carry the pixels or nothing was compressed."""
    syntax = source.syntax
    assert syntax is not None
    explicit = (
        image.floating
        or image.bits_allocated > _WORD
        or image.photometric == "PALETTE COLOR"
        or syntax.remedy is Remedy.EXPLICIT
        or (decision.rule == "container" and not syntax.encapsulated)
    )
    return EXPLICIT_VR_LITTLE_ENDIAN if explicit else JPEG_LS_LOSSLESS


def _verify(path: Path, digests: list[bytes]) -> None:
    """Read a rendition back: it must be shown right, and hold the very pixels that were decoded."""
    with open_object(path) as written:
        decision = decide(written)
        if decision.action is not Action.KEEP:
            raise ImagingError(
                ErrorCode.MISMATCH, f"the rendition itself is not shown right: {decision.rule}"
            )
        count = 0
        for count, pixels in enumerate(decode_frames(written, describe_image(written)), start=1):
            if count > len(digests) or digest(pixels) != digests[count - 1]:
                raise ImagingError(
                    ErrorCode.MISMATCH, f"frame {count - 1} of the rendition has other pixels"
                )
    if count != len(digests):
        raise ImagingError(ErrorCode.MISMATCH, "the rendition has another number of frames")
