"""The Image Pixel attributes of an object (PS3.3 C.7.6.3) as numbers that can be relied on."""

from typing import Final, NamedTuple

from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError

COLOUR_SAMPLES: Final = 3
SUBSAMPLED: Final = frozenset({"YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420"})
PALETTE: Final = "PALETTE COLOR"
GREY_OR_PALETTE: Final = frozenset({"MONOCHROME1", "MONOCHROME2", PALETTE})
"""PhotometricInterpretation of one sample a pixel (PS3.3 C.7.6.3.1.2)."""
COLOURS: Final = SUBSAMPLED | {"RGB", "YBR_FULL", "YBR_ICT", "YBR_RCT", "XYB"}
"""PhotometricInterpretation of three samples a pixel."""
_BITS_ALLOCATED: Final = (1, 8, 16, 32, 64)


class Image(NamedTuple):
    """What the data set says about its pixels."""

    rows: int
    columns: int
    frames: int
    samples: int
    photometric: str
    planar: bool
    """PlanarConfiguration 1: the samples of a colour follow each other plane by plane."""
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    floating: bool

    @property
    def colour(self) -> bool:
        return self.samples > 1

    @property
    def frame_bits(self) -> int:
        """Bits of one uncompressed frame; two samples a pixel where chroma is subsampled."""
        samples = 2 if self.photometric in {"YBR_FULL_422", "YBR_PARTIAL_422"} else self.samples
        return self.rows * self.columns * samples * self.bits_allocated

    @property
    def total_bytes(self) -> int:
        """Bytes of all uncompressed frames. Frames of 1 bit a pixel follow without a gap."""
        return (self.frame_bits * self.frames + 7) // 8


def describe_image(source: DicomObject) -> Image:
    """The image attributes of an object with pixels.

    Raises:
        ImagingError: one that is needed is missing or makes no sense.
    """
    samples = _number(source, "SamplesPerPixel", 1)
    bits_allocated = _number(source, "BitsAllocated")
    floating = source.pixel_keyword != "PixelData"
    bits_stored = bits_allocated if floating else _number(source, "BitsStored", bits_allocated)
    image = Image(
        rows=_number(source, "Rows"),
        columns=_number(source, "Columns"),
        frames=_number(source, "NumberOfFrames", 1) or 1,
        samples=samples,
        photometric=str(source.dataset.get("PhotometricInterpretation", "") or "").strip(" \0"),
        planar=samples > 1 and _number(source, "PlanarConfiguration", 0) == 1,
        bits_allocated=bits_allocated,
        bits_stored=bits_stored,
        high_bit=bits_stored - 1 if floating else _number(source, "HighBit", bits_stored - 1),
        signed=not floating and _number(source, "PixelRepresentation", 0) == 1,
        floating=floating,
    )
    sound = (
        image.rows > 0
        and image.columns > 0
        and image.frames > 0
        and image.samples in {1, COLOUR_SAMPLES}
        and image.bits_allocated in _BITS_ALLOCATED
        and 0 < image.bits_stored <= image.high_bit + 1 <= image.bits_allocated
    )
    if not sound:
        raise ImagingError(
            ErrorCode.UNREADABLE_OBJECT,
            f"image attributes make no sense: {image.rows} rows, {image.columns} "
            f"columns, {image.frames} frames, {image.samples} samples, "
            f"BitsAllocated {image.bits_allocated}, BitsStored {image.bits_stored}, "
            f"HighBit {image.high_bit}",
        )
    return image


def _number(source: DicomObject, keyword: str, default: int | None = None) -> int:
    try:
        value = source.dataset.get(keyword)
        if value is None or value == "":
            value = default
        return int(value)
    except (TypeError, ValueError, OverflowError, NotImplementedError) as error:
        raise ImagingError(
            ErrorCode.UNREADABLE_OBJECT, f"{keyword} is missing or not a number"
        ) from error
