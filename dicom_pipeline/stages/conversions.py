"""What the worker processes of the rendition stage are asked to do: an object, or a part of one."""

from pathlib import Path
from typing import NamedTuple

from dicom_pipeline.imaging.encoding import PixelForm
from dicom_pipeline.imaging.outcomes import Outcome
from dicom_pipeline.imaging.parts import (
    Decoded,
    Encoded,
    Wider,
    check_part,
    decode_part,
    encode_part,
)
from dicom_pipeline.imaging.rendering import Decision
from dicom_pipeline.imaging.transcode import LargeObject, begin


class Conversion(NamedTuple):
    """Decide on, verify and if need be convert one object; of a large one, only examine it."""

    source: Path
    target: Path
    whole_cells: bool = False
    """See `dicom_pipeline.imaging.encoding.pixel_form`."""


class DecodePart(NamedTuple):
    """Decode some frames of an object that is kept."""

    source: Path
    decision: Decision
    frames: range


class EncodePart(NamedTuple):
    """Decode and encode some frames of an object."""

    source: Path
    decision: Decision
    frames: range
    form: PixelForm


class CheckPart(NamedTuple):
    """Read some frames of a rendition back."""

    source: Path
    """The rendition, under the name that it has while it is written."""
    decision: Decision
    frames: range
    digests: list[bytes]


Part = DecodePart | EncodePart | CheckPart
Task = Conversion | Part
Result = Outcome | LargeObject | Decoded | Encoded | Wider


def convert(task: Task) -> Result:
    """Runs in a worker process."""
    match task:
        case Conversion(source, target, whole_cells):
            return begin(source, target, whole_cells=whole_cells)
        case DecodePart():
            return decode_part(*task)
        case EncodePart():
            return encode_part(*task)
        case CheckPart():
            return check_part(*task)
