"""Whether Cornerstone3D shows an object right, and what to do if not.

The transfer syntax alone cannot decide: several combinations of header and codestream load without
an error and show wrong pixels. The data set and the header of every frame's codestream are looked
at here; that every compressed frame decodes is for `dicom_pipeline.imaging.transcode` to find out.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from pydicom.uid import UID

from dicom_pipeline.imaging.codestream import (
    Jpeg2000Header,
    JpegHeader,
    is_cut_short,
    jpeg2000_header,
    jpeg_header,
)
from dicom_pipeline.imaging.conditions import Evidence
from dicom_pipeline.imaging.container import Fault
from dicom_pipeline.imaging.frames import (
    count_fragments,
    encoded_frames,
    looks_encapsulated,
)
from dicom_pipeline.imaging.image import describe_image
from dicom_pipeline.imaging.objects import DicomObject, open_object
from dicom_pipeline.imaging.outcomes import Action, ErrorCode, ImagingError
from dicom_pipeline.imaging.rules import (
    IMAGE_RULES,
    JPEG_2000_FAMILIES,
    JPEG_FAMILIES,
    MEASURED_WITH,
)
from dicom_pipeline.imaging.transfer_syntaxes import Family

H = TypeVar("H", JpegHeader, Jpeg2000Header)

__all__ = ["LEFT_TO_THEIR_LOADERS", "Action", "Decision", "decide"]

LEFT_TO_THEIR_LOADERS: Final = {
    "1.2.840.10008.5.1.4.1.1.66.4": "segmentation",
    "1.2.840.10008.5.1.4.1.1.66.7": "label-map",
    "1.2.840.10008.5.1.4.1.1.77.1.6": "whole-slide",
}
"""SOP classes that viewers open with a loader of their own, and the rule that says so."""

_HIDING: Final = frozenset({Fault.UNKNOWN_VR, Fault.BROKEN_SEQUENCE})
"""Faults after which a reader may have missed the pixel data."""


class Decision(NamedTuple):
    """What to do with an object, and the rule that says so."""

    action: Action
    rule: str
    """Stable identifier of the rule."""
    reason: str
    error_code: ErrorCode | None = None
    """Set when the action is `Action.FAIL`."""


def decide(source: DicomObject | Path) -> Decision:
    """What a viewer needs for an object.

    Of codestreams only the headers are decoded; RLE and deflated cells in full where they may have
    bits above HighBit.

    Raises:
        ImagingError: the object cannot be read, or its pixel data is cut or makes no sense.
        OSError: the file cannot be read.
    """
    if isinstance(source, Path):
        with open_object(source) as opened:
            return decide(opened)
    settled = _by_object(source)
    if settled is not None:
        return settled
    gathered = _gather(source)
    family = gathered[0].family
    for rule in IMAGE_RULES:
        if (rule.families is None or family in rule.families) and any(map(rule.applies, gathered)):
            reason = f"{rule.reason} ({MEASURED_WITH})" if rule.error_code is None else rule.reason
            return Decision(rule.action, rule.name, reason, rule.error_code)
    return Decision(Action.KEEP, "shown-right", f"{MEASURED_WITH} shows such images right")


def _by_object(source: DicomObject) -> Decision | None:
    """What syntax, SOP class and the presence of pixels settle, before any look at pixels."""
    syntax = source.syntax
    if syntax is not None and syntax.family is Family.VIDEO:
        return Decision(Action.EXTRACT_VIDEO, "video", "played from an mp4 file, not from frames")
    if source.fault is Fault.TOO_DEEP:
        return _failure("nested-too-deep", str(source.fault), ErrorCode.UNREADABLE_OBJECT)
    if syntax is not None and syntax.family in {Family.JPIP, Family.NO_FRAMES}:
        return _failure(
            "syntax-without-frames", f"{syntax.name}: no frames", ErrorCode.UNSUPPORTED_SYNTAX
        )
    if source.pixel_keyword is None:
        return _without_pixels(source)
    if not source.pixel_bytes:
        return _failure("pixel-data-empty", "pixel data without a value", ErrorCode.TRUNCATED)
    if syntax is None:
        return _failure(
            "syntax-unknown",
            f"transfer syntax {source.syntax_uid[:64]} is not known",
            ErrorCode.UNSUPPORTED_SYNTAX,
        )
    rule = LEFT_TO_THEIR_LOADERS.get(str(source.dataset.get("SOPClassUID", "")))
    if rule is not None:
        return Decision(Action.KEEP, rule, "opened by a loader of its own")
    return None


def _without_pixels(source: DicomObject) -> Decision:
    if source.fault is Fault.ENDS_EARLY:
        return _failure("cut", str(source.fault), ErrorCode.TRUNCATED)
    if source.fault in _HIDING:
        return _failure("broken", str(source.fault), ErrorCode.UNREADABLE_OBJECT)
    sop_class = UID(str(source.dataset.get("SOPClassUID", ""))).name
    if "Image Storage" in sop_class or all(
        keyword in source.dataset for keyword in ("Rows", "Columns", "BitsAllocated")
    ):
        return _failure(
            "pixel-data-missing", "an image object without pixel data", ErrorCode.TRUNCATED
        )
    return Decision(Action.NO_PIXELS, "no-pixels", "the object holds no image")


def _failure(rule: str, reason: str, code: ErrorCode) -> Decision:
    return Decision(Action.FAIL, rule, reason, code)


def _gather(source: DicomObject) -> list[Evidence]:
    """The evidence, once for each different header among the frames."""
    syntax = source.syntax
    assert syntax is not None
    image = describe_image(source)
    if syntax.encapsulated != looks_encapsulated(source.pixel_bytes) and not (
        # The first pixels of native data may look like an item tag.
        not syntax.encapsulated and len(source.pixel_bytes) >= image.total_bytes
    ):
        raise ImagingError(
            ErrorCode.UNREADABLE_OBJECT,
            f"the pixel data is not encoded as {syntax.name} says",
        )
    evidence = Evidence(source, image, syntax.family, None, None, None, mixed=False)
    if not syntax.encapsulated:
        if len(source.pixel_bytes) < image.total_bytes:
            raise ImagingError(
                ErrorCode.TRUNCATED,
                f"pixel data has {len(source.pixel_bytes)} of {image.total_bytes} bytes",
            )
        return [evidence]
    evidence = evidence._replace(fragments=count_fragments(source))
    if syntax.family in JPEG_FAMILIES:
        jpegs = {_header(jpeg_header, frame) for frame in encoded_frames(source, image)}
        mixed = len({jpeg and jpeg.layout for jpeg in jpegs}) > 1
        return [evidence._replace(jpeg=jpeg, mixed=mixed) for jpeg in jpegs]
    if syntax.family in JPEG_2000_FAMILIES:
        j2ks = {_header(jpeg2000_header, frame) for frame in encoded_frames(source, image)}
        mixed = len({j2k and j2k.layout for j2k in j2ks}) > 1
        return [evidence._replace(j2k=j2k, mixed=mixed) for j2k in j2ks]
    return [evidence]


def _header(read: Callable[[bytes], H | None], frame: bytes) -> H | None:
    header = read(frame)
    if header is None and is_cut_short(frame):
        raise ImagingError(ErrorCode.TRUNCATED, "a frame ends inside its headers")
    return header
