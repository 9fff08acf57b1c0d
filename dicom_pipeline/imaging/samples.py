"""From stored bits to pixel values: native layouts, sign and colour (PS3.5 8.1, PS3.3 C.7.6.3)."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.processing import convert_color_space

from dicom_pipeline.imaging.image import COLOUR_SAMPLES, Image
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError

Pixels = NDArray[Any]
"""(rows, columns) or (rows, columns, 3)."""


def native_cells(frame: bytes, image: Image, *, big_endian: bool) -> Pixels:
    """The pixel cells of one native frame as unsigned numbers (or floats), samples last.

    Args:
        frame: exactly the bytes of the frame.
        image: the attributes of the object.
        big_endian: byte order of numbers of more than 8 bits.
    """
    kind = "f" if image.floating else "u"
    cells = np.frombuffer(frame, f"{'>' if big_endian else '<'}{kind}{image.bits_allocated // 8}")
    cells = cells.astype(cells.dtype.newbyteorder("="), copy=False)
    if image.photometric in {"YBR_FULL_422", "YBR_PARTIAL_422"}:
        return _full_chroma(cells, image)
    if not image.colour:
        return cells.reshape(image.rows, image.columns)
    if image.planar:
        planes = cells.reshape(image.samples, image.rows, image.columns)
        return np.ascontiguousarray(planes.transpose(1, 2, 0))
    return cells.reshape(image.rows, image.columns, image.samples)


def one_bit_cells(frame: bytes, image: Image, index: int) -> Pixels:
    """The pixels, 0 or 1, of frame ``index``, whose first bit may be inside its first byte."""
    first = index * image.frame_bits % 8
    bits = np.unpackbits(np.frombuffer(frame, "u1"), bitorder="little")
    return bits[first : first + image.frame_bits].reshape(image.rows, image.columns)


def _full_chroma(cells: Pixels, image: Image) -> Pixels:
    """Y1 Y2 CB CR of each two pixels of a row as two whole pixels (PS3.3 C.7.6.3.1.2)."""
    if image.columns % 2:
        raise ImagingError(
            ErrorCode.UNREADABLE_OBJECT, "subsampled colour with an odd number of columns"
        )
    pairs = cells.reshape(image.rows, image.columns // 2, 4)
    full = np.empty((image.rows, image.columns, COLOUR_SAMPLES), cells.dtype)
    full[:, 0::2, 0], full[:, 1::2, 0] = pairs[..., 0], pairs[..., 1]
    for sample in (1, 2):
        full[..., sample] = np.repeat(pairs[..., sample + 1], 2, axis=1)
    return full


def from_cells(cells: Pixels, image: Image) -> Pixels:
    """Pixel values of cells that are laid out as the object's attributes say."""
    if image.floating:
        return cells
    values = pixel_values(
        cells, bits=image.bits_stored, high_bit=image.high_bit, signed=image.signed
    )
    return to_rgb(values, image.photometric, image.bits_stored)


def pixel_values(cells: Pixels, *, bits: int, high_bit: int, signed: bool) -> Pixels:
    """The numbers in pixel cells: of the bits up to ``high_bit``, the ``bits`` highest.

    Signed values of 8 bits come as 16 bits, since no compressed target carries them otherwise.
    """
    width = cells.dtype.itemsize * 8
    unsigned = cells.view(f"u{cells.dtype.itemsize}")
    if (bits, high_bit) != (width, width - 1):
        unsigned = (unsigned << (width - 1 - high_bit)) >> (width - bits)
    if not signed:
        return unsigned
    values = unsigned.view(f"i{cells.dtype.itemsize}")
    if bits != width:
        values = (values << (width - bits)) >> (width - bits)
    return values.astype(np.int16) if width == 8 else values  # noqa: PLR2004


def to_rgb(pixels: Pixels, photometric: str, bits: int) -> Pixels:
    """Colour pixels as RGB (PS3.3 C.7.6.3.1.2).

    Args:
        pixels: grey ones are given back as they are.
        photometric: what the samples mean.
        bits: BitsStored, from which black, white and no colour are derived.

    Raises:
        ImagingError: the colour space is one of those without a defined conversion, or signed.
    """
    if pixels.ndim < COLOUR_SAMPLES or photometric in {"RGB", "YBR_RCT", "YBR_ICT", "XYB"}:
        return pixels
    if photometric in {"YBR_FULL", "YBR_FULL_422"} and pixels.dtype == np.uint8:
        return convert_color_space(pixels, "YBR_FULL", "RGB")
    conversion = _CONVERSIONS.get(photometric)
    if conversion is None or pixels.dtype.kind != "u":
        raise ImagingError(
            ErrorCode.DECODER_ERROR,
            f"{photometric or 'no'} colour of {pixels.dtype} cannot be converted to RGB",
        )
    black, matrix = conversion
    offsets = np.array([black, 128, 128]) * 2.0 ** (bits - 8)
    rgb: Pixels = (pixels - offsets) @ matrix.T
    return np.clip(np.rint(rgb), 0, (1 << bits) - 1).astype(pixels.dtype)


_FULL: Final = np.array([[1, 0, 1.402], [1, -0.344136, -0.714136], [1, 1.772, 0]])
_PARTIAL: Final = np.linalg.inv(
    [[0.2568, 0.5041, 0.0979], [-0.1482, -0.2910, 0.4392], [0.4392, -0.3678, -0.0714]]
)
_CONVERSIONS: Final = {
    "YBR_FULL": (0, _FULL),
    "YBR_FULL_422": (0, _FULL),
    "YBR_PARTIAL_422": (16, _PARTIAL),
    "YBR_PARTIAL_420": (16, _PARTIAL),
}
"""Y of black for 8 bits, and the matrix from Y, CB, CR to R, G, B."""


def taken_for_integers(frame: Pixels) -> bool:
    """Whether a viewer drops the fractions of a frame of floats.

    Cornerstone3D chooses the type of its array by the smallest and the largest value alone.
    """
    frame = frame.astype(np.float32, copy=False)
    low, high = frame.min(), frame.max()
    if not (np.isfinite(low) and np.isfinite(high) and low == np.rint(low)):
        return False
    held = high < 1 << 32 if low >= 0 else low >= -(1 << 15) and high < 1 << 15
    return bool(held and high == np.rint(high) and (frame != np.rint(frame)).any())


def rounded_to_floats(frame: Pixels) -> bool:
    """Whether a viewer, which holds signed numbers of 32 bits as floats, rounds some of them."""
    return (
        frame.dtype == np.int32
        and int(frame.min()) < 0
        and bool((frame != frame.astype(np.float32).astype(np.float64)).any())
    )
