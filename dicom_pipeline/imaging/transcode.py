"""The whole job for one object: decide, decode each frame, write a display copy, prove it right.

To be called in a worker process with limits (`dicom_pipeline.workers`): a codec may hang or crash.
An object of many frames can be done in parts (`dicom_pipeline.imaging.parts`).
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.imaging.decoding import decode_frames
from dicom_pipeline.imaging.display_copy import display_copy
from dicom_pipeline.imaging.encoding import (
    PixelForm,
    WiderPixelsError,
    digest,
    displayable,
    encode,
    pixel_form,
)
from dicom_pipeline.imaging.failures import NOT_DECIDED, failure, outcome_of
from dicom_pipeline.imaging.image import PALETTE, Image, describe_image
from dicom_pipeline.imaging.objects import DicomObject, open_object
from dicom_pipeline.imaging.outcomes import (
    Action,
    ErrorCode,
    ImagingError,
    Outcome,
)
from dicom_pipeline.imaging.rendering import Decision, decide
from dicom_pipeline.imaging.rendition_file import RenditionFile, Surroundings, surround
from dicom_pipeline.imaging.samples import Pixels
from dicom_pipeline.imaging.transfer_syntaxes import Remedy
from dicom_pipeline.imaging.video.extraction import extract_video
from dicom_pipeline.storage import atomic_file, video_name

_WORD: Final = 16
_LARGE_BYTES: Final = 128 << 20
"""Uncompressed bytes from which on an object of several frames is done in parts."""
_BYTES_AT_ONCE: Final = 32 << 20
"""Uncompressed bytes of the frames of one part."""


class Rendition(NamedTuple):
    """What is settled before the frames of a rendition are encoded."""

    form: PixelForm
    surroundings: Surroundings


class LargeObject(NamedTuple):
    """What was found out about an object whose frames are to be done in parts."""

    decision: Decision
    frames: int
    frames_at_once: int
    """Frames of one part."""
    rendition: Rendition | None
    """None: the object is kept, and its frames need only be decoded."""

    def parts(self) -> Iterator[range]:
        """The numbers of the frames of each part."""
        for first in range(0, self.frames, self.frames_at_once):
            yield range(first, min(self.frames, first + self.frames_at_once))


def render(source: Path, target: Path) -> Outcome:
    """Decide about the object in ``source``; write its rendition to ``target`` if it needs one.

    A compressed image that is kept was decoded in full. A rendition appears under its name only
    after it was read back, decoded and found equal to the original, pixel by pixel. Whatever is
    wrong with an object is told in the outcome; nothing is raised for it.
    """
    decision = NOT_DECIDED
    try:
        with open_object(source) as opened:
            decision = decide(opened)
            return _carry_out(decision, opened, target)
    except Exception as error:  # noqa: BLE001  a defect here costs one object, not the run
        return outcome_of(error, decision, source)


def begin(source: Path, target: Path, *, whole_cells: bool = False) -> Outcome | LargeObject:
    """As `render`, but a large object is only examined.

    Args:
        source: the object.
        target: the rendition.
        whole_cells: see `dicom_pipeline.imaging.encoding.pixel_form`.
    """
    decision = NOT_DECIDED
    try:
        with open_object(source) as opened:
            decision = decide(opened)
            large = _examine(decision, opened, whole_cells=whole_cells)
            return large or _carry_out(decision, opened, target)
    except Exception as error:  # noqa: BLE001  as above
        return outcome_of(error, decision, source)


def _examine(decision: Decision, source: DicomObject, *, whole_cells: bool) -> LargeObject | None:
    """What is to be done in parts, or None if the object is small or needs no decoding."""
    if decision.action not in {Action.KEEP, Action.TRANSCODE} or source.pixels is None:
        return None
    image = describe_image(source)
    if image.frames == 1 or image.total_bytes < _LARGE_BYTES:
        return None
    rendition = None
    if decision.action is Action.TRANSCODE:
        (first,) = map(displayable, decode_frames(source, image, range(1)))
        rendition = _prepare(decision, source, image, first, whole_cells=whole_cells)
    elif not _needs_decoding(source):
        return None
    at_once = max(1, _BYTES_AT_ONCE * 8 // image.frame_bits)
    return LargeObject(decision, image.frames, at_once, rendition)


def _carry_out(decision: Decision, source: DicomObject, target: Path) -> Outcome:
    match decision.action:
        case Action.KEEP:
            return _keep(decision, source)
        case Action.TRANSCODE:
            return _transcode(decision, source, target)
        case Action.EXTRACT_VIDEO:
            return extract_video(decision, source, target.with_name(video_name(target.name)))
        case Action.NO_PIXELS:
            return told(decision)
        case Action.FAIL:
            assert decision.error_code is not None
            return failure(decision, decision.error_code, decision.reason)


def told(decision: Decision, *, frames: int | None = None) -> Outcome:
    """The outcome of an object that has no rendition of its own."""
    return Outcome(
        action=decision.action,
        rule=decision.rule,
        reason=decision.reason,
        frames=frames,
    )


def transcoded(decision: Decision, form: PixelForm, frames: int, file_size: int) -> Outcome:
    """The outcome of an object that has a rendition now."""
    return Outcome(
        action=decision.action,
        rule=decision.rule,
        reason=decision.reason,
        target_ts=form.syntax_uid,
        file_size=file_size,
        frames=frames,
    )


def _needs_decoding(source: DicomObject) -> bool:
    """Whether pixel data is compressed: a viewer may show a damaged image without a word."""
    return source.syntax is not None and source.syntax.encapsulated


def _keep(decision: Decision, source: DicomObject) -> Outcome:
    if not _needs_decoding(source):
        return told(decision)
    image = describe_image(source)
    return told(decision, frames=sum(1 for _ in decode_frames(source, image)))


def _transcode(decision: Decision, source: DicomObject, target: Path) -> Outcome:
    try:
        return _write(decision, source, target, whole_cells=False)
    except WiderPixelsError:
        return _write(decision, source, target, whole_cells=True)


def _write(decision: Decision, source: DicomObject, target: Path, *, whole_cells: bool) -> Outcome:
    image = describe_image(source)
    frames = map(displayable, decode_frames(source, image))
    first = next(frames)
    form, surroundings = _prepare(decision, source, image, first, whole_cells=whole_cells)
    digests = []
    with atomic_file(target) as partial, Path(partial.name).open("r+b") as file:
        rendition = RenditionFile(file, surroundings)
        for pixels in chain((first,), frames):
            rendition.append(encode(pixels, form))
            digests.append(digest(pixels))
        size = rendition.finish()
        _verify(Path(file.name), digests)
    return transcoded(decision, form, len(digests), size)


def _prepare(
    decision: Decision, source: DicomObject, image: Image, first: Pixels, *, whole_cells: bool
) -> Rendition:
    syntax = source.syntax
    assert syntax is not None
    form = pixel_form(
        first,
        image,
        explicit=syntax.remedy is Remedy.EXPLICIT
        or (decision.rule == "container" and not syntax.encapsulated)
        or image.photometric == PALETTE,
        carried=not (image.floating or image.bits_allocated > _WORD),
        whole_cells=whole_cells,
    )
    return Rendition(
        form, surround(display_copy(decision, source, image, form), form, image.frames)
    )


def _verify(path: Path, digests: list[bytes]) -> None:
    """Read a rendition back: it must be shown right, and hold the very pixels that were decoded."""
    with open_object(path) as written:
        check_shown_right(written)
        image = describe_image(written)
        if image.frames != len(digests):
            raise ImagingError(ErrorCode.MISMATCH, "the rendition has another number of frames")
        check_frames(written, image, range(image.frames), digests)


def check_shown_right(written: DicomObject) -> None:
    """Raises ImagingError unless a rendition needs none itself."""
    decision = decide(written)
    if decision.action is not Action.KEEP:
        raise ImagingError(
            ErrorCode.MISMATCH, f"the rendition itself is not shown right: {decision.rule}"
        )


def check_frames(written: DicomObject, image: Image, wanted: range, digests: list[bytes]) -> None:
    """Raises ImagingError unless the frames of a rendition have the pixels of the original."""
    decoded = decode_frames(written, image, wanted, compared=True)
    for index, pixels, expected in zip(wanted, decoded, digests, strict=True):
        if digest(pixels) != expected:
            raise ImagingError(
                ErrorCode.MISMATCH, f"frame {index} of the rendition has other pixels"
            )
