"""One part of the frames of a large object: decoded, encoded, or read back and compared.

To be called in worker processes with limits, each part in whichever is free. Nothing is raised for
what is wrong with an object: it is told in an outcome, as by `dicom_pipeline.imaging.transcode`.
"""

from pathlib import Path
from typing import NamedTuple

from dicom_pipeline.imaging.decoding import decode_frames, frames_differ
from dicom_pipeline.imaging.encoding import (
    PixelForm,
    WiderPixelsError,
    digest,
    displayable,
    encode,
)
from dicom_pipeline.imaging.failures import outcome_of
from dicom_pipeline.imaging.image import describe_image
from dicom_pipeline.imaging.objects import open_object
from dicom_pipeline.imaging.outcomes import Outcome
from dicom_pipeline.imaging.rendering import Decision
from dicom_pipeline.imaging.transcode import check_frames, check_shown_right


class Decoded(NamedTuple):
    """The frames of a part were decoded, or read back and found right."""

    frame_count: int


class Encoded(NamedTuple):
    """The frames of a part of a rendition."""

    frames: list[bytes]
    digests: list[bytes]
    """Of the pixels of each."""


class Wider(NamedTuple):
    """A frame does not keep to BitsStored: all frames must be encoded with the whole cells."""


def decode_part(source: Path, decision: Decision, wanted: range) -> Decoded | Outcome:
    """Decode a part of the frames of an object that is kept."""
    try:
        with open_object(source) as opened:
            return Decoded(sum(1 for _ in decode_frames(opened, describe_image(opened), wanted)))
    except Exception as error:  # noqa: BLE001  a defect here costs one object, not the run
        return outcome_of(error, decision, source)


def encode_part(
    source: Path, decision: Decision, wanted: range, form: PixelForm
) -> Encoded | Wider | Outcome:
    """Decode and encode a part of the frames of an object."""
    frames, digests = [], []
    try:
        with open_object(source) as opened:
            decoded = decode_frames(opened, describe_image(opened), wanted)
            for index, pixels in zip(wanted, map(displayable, decoded), strict=True):
                if pixels.dtype != form.dtype:
                    raise frames_differ(index, pixels, form.dtype)  # noqa: TRY301  told like others
                frames.append(encode(pixels, form))
                digests.append(digest(pixels))
    except WiderPixelsError:
        return Wider()
    except Exception as error:  # noqa: BLE001  as above
        return outcome_of(error, decision, source)
    return Encoded(frames, digests)


def check_part(
    rendition: Path, decision: Decision, wanted: range, digests: list[bytes]
) -> Decoded | Outcome:
    """Read a part of the frames of a rendition back, and with the first one its header."""
    try:
        with open_object(rendition) as written:
            if wanted.start == 0:
                check_shown_right(written)
            check_frames(written, describe_image(written), wanted, digests)
    except Exception as error:  # noqa: BLE001  as above
        return outcome_of(error, decision, rendition)
    return Decoded(len(wanted))
