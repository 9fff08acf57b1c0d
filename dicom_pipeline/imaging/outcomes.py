"""What became of one object, and why, in words that hold no patient data."""

from enum import StrEnum

import msgspec

from dicom_pipeline.errors import PermanentError


class Action(StrEnum):
    """What a viewer's file for an object is made of."""

    KEEP = "keep"
    """The original is shown right as it is."""
    TRANSCODE = "transcode"
    """A display copy is shown instead."""
    EXTRACT_VIDEO = "extract_video"
    NO_PIXELS = "no_pixels"
    """There is no image in the object."""
    FAIL = "fail"
    """No right pixels can be had: see the error."""


class ErrorCode(StrEnum):
    """Why an object cannot be shown. Stable: people and programs select by it."""

    TRUNCATED = "truncated"
    UNSUPPORTED_SYNTAX = "unsupported_syntax"
    DECODER_ERROR = "decoder_error"
    MISMATCH = "mismatch"
    """The written rendition did not decode to the pixels of the original."""
    LIMIT_EXCEEDED = "limit_exceeded"
    MISSING_EXTRA = "missing_extra"
    UNREADABLE_OBJECT = "unreadable_object"
    TIMEOUT = "timeout"
    CRASHED = "crashed"
    INTERNAL = "internal"
    """A defect of this program, to be reported."""
    FILE_MISSING = "file_missing"
    """There is no file of the object."""
    IO_ERROR = "io_error"
    """The system refused to read the file or to write the rendition; the object is not to blame."""


RETRYABLE = frozenset({ErrorCode.TIMEOUT, ErrorCode.IO_ERROR, ErrorCode.CRASHED})
"""Codes for which another attempt may succeed without a new version of this program."""


class ImagingError(PermanentError):
    """An object cannot be shown or converted.

    Args:
        code: the stable code.
        reason: for people; no values of the data set beyond numbers and UIDs.
        library: the decoder that refused, if one did.

    Attributes:
        library_version: of a library that is no package of Python's.
    """

    def __init__(self, code: ErrorCode, reason: str, library: str | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.library = library
        self.library_version: str | None = None


class ConversionError(msgspec.Struct, frozen=True, kw_only=True):
    """Why an object has no right pixels."""

    code: ErrorCode
    reason: str
    library: str | None = None
    """The decoder or encoder concerned."""
    library_version: str | None = None
    retryable: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided and done for one object."""

    action: Action
    rule: str
    """Identifier of the rule that decided, see `dicom_pipeline.imaging.rendering`."""
    reason: str
    target_ts: str | None = None
    """Transfer syntax of the rendition; None when there is none."""
    file_size: int | None = None
    """Bytes of the rendition."""
    frames: int | None = None
    """Frames that were decoded in full; None when nothing was decoded."""
    error: ConversionError | None = None
