"""Encoding the frames of a rendition: JPEG-LS lossless, or plain where that cannot carry them."""

import hashlib
from typing import Final, NamedTuple

import imagecodecs
import jpeg_ls
import numpy as np

from dicom_pipeline.imaging.image import Image
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.samples import Pixels, rounded_to_floats, taken_for_integers
from dicom_pipeline.imaging.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_LS_LOSSLESS

_PYJPEGLS: Final = "pyjpegls"
_BYTE: Final = 8
_LARGEST_JPEG_LS_SAMPLE: Final = 2
"""Bytes."""
_WHOLE_FROM: Final = 1 << 23
"""Floats of 32 bits from here on have no fractions."""
LONGEST_VALUE: Final = (1 << 32) - 2
"""Bytes of the longest value: the length has 32 bits, is even, and all ones mean undefined."""


class PixelForm(NamedTuple):
    """What all frames of a rendition have in common."""

    syntax_uid: str
    dtype: np.dtype[np.generic]
    samples: int
    bits_stored: int
    """BitsStored of the rendition: the original's, if the pixels keep to it."""
    frame_bytes: int
    """Of an uncompressed frame."""


class WiderPixelsError(Exception):
    """A frame holds numbers of more bits than the form says."""


def pixel_form(
    first: Pixels, image: Image, *, explicit: bool, carried: bool, whole_cells: bool
) -> PixelForm:
    """How the frames of a rendition are written.

    Args:
        first: the first decoded frame.
        image: the attributes of the original.
        explicit: prefer native pixel data to JPEG-LS.
        carried: whether JPEG-LS carries such pixels at all.
        whole_cells: use all bits of a cell, since some frame does not keep to BitsStored.

    Raises:
        ImagingError: native pixel data that would be longer than an element can be.
    """
    width = first.dtype.itemsize * 8
    # Signed pixels take the whole cell, so that decoders without sign extension are right too,
    # and no codec need know samples of less than 8 bits.
    fits = first.dtype.kind == "u" and not whole_cells
    total = first.nbytes * image.frames
    carried = carried and first.dtype.itemsize <= _LARGEST_JPEG_LS_SAMPLE
    if not carried and total > LONGEST_VALUE:
        raise ImagingError(
            ErrorCode.LIMIT_EXCEEDED,
            f"{total} bytes of pixels that only native pixel data can carry, "
            f"which holds {LONGEST_VALUE} at most",
        )
    # A native value is padded to an even length. Viewers refuse frames that do not divide it, and
    # take the byte for a sample of colour.
    uneven = total % 2 == 1 and (image.frames > 1 or first.ndim > 2)  # noqa: PLR2004  as below
    native = not carried or (explicit and total <= LONGEST_VALUE and not uneven)
    return PixelForm(
        syntax_uid=EXPLICIT_VR_LITTLE_ENDIAN if native else JPEG_LS_LOSSLESS,
        dtype=first.dtype,
        samples=first.shape[2] if first.ndim > 2 else 1,  # noqa: PLR2004  (rows, columns, samples)
        # Codestreams of up to 8 bits are decoded to bytes.
        bits_stored=min(width, max(width // 2 + 1 if width > _BYTE else width, image.bits_stored))
        if fits
        else width,
        frame_bytes=first.nbytes,
    )


def displayable(frame: Pixels) -> Pixels:
    """A decoded frame in a form that a viewer takes.

    Floats of 64 bits become floats of 32, and so do signed integers that a viewer would round
    itself. Floats that a viewer would take for integers get one value moved by the smallest step.

    Raises:
        ImagingError: the numbers are too large for that.
    """
    if rounded_to_floats(frame):
        return frame.astype(np.float32)
    if frame.dtype.kind != "f":
        return frame
    with np.errstate(over="ignore"):
        narrow = frame.astype(np.float32)
    if not np.array_equal(np.isfinite(frame), np.isfinite(narrow)):
        raise ImagingError(ErrorCode.DECODER_ERROR, "values too large for 32-bit floats")
    return _off_whole_numbers(narrow) if taken_for_integers(narrow) else narrow


def _off_whole_numbers(frame: Pixels) -> Pixels:
    """The frame with its largest, or else its smallest value moved off a whole number."""
    moved = frame.copy()
    high = moved.max()
    place, to = (moved.argmax(), np.inf) if abs(high) < _WHOLE_FROM else (moved.argmin(), -np.inf)
    moved.flat[place] = np.nextafter(moved.flat[place], np.float32(to))
    return moved


def encode(pixels: Pixels, form: PixelForm) -> bytes:
    """One frame of a rendition.

    Raises:
        WiderPixelsError: see there.
        ImagingError: the encoder refuses the frame.
    """
    narrow = form.bits_stored < form.dtype.itemsize * 8
    if narrow and int(pixels.max()).bit_length() > form.bits_stored:
        raise WiderPixelsError
    if form.syntax_uid == JPEG_LS_LOSSLESS:
        return _jpeg_ls(pixels, form.bits_stored)
    return pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()


def _jpeg_ls(pixels: Pixels, bits: int) -> bytes:
    options = {} if pixels.ndim == 2 else {"planar_configuration": 0}  # noqa: PLR2004
    try:
        return bytes(
            jpeg_ls.encode_pixel_data(
                pixels.tobytes(),
                rows=pixels.shape[0],
                columns=pixels.shape[1],
                samples_per_pixel=1 if pixels.ndim == 2 else pixels.shape[2],  # noqa: PLR2004
                bits_stored=bits,
                **options,
            )
        )
    except (RuntimeError, ValueError):
        return _small_jpeg_ls(pixels)


def _small_jpeg_ls(pixels: Pixels) -> bytes:
    """A few pixels of noise: pyjpegls gives no more room than they had uncompressed."""
    try:
        return bytes(imagecodecs.jpegls_encode(pixels.view(f"u{pixels.dtype.itemsize}")))
    except (imagecodecs.JpeglsError, ValueError) as error:
        raise ImagingError(
            ErrorCode.DECODER_ERROR, f"JPEG-LS cannot encode {pixels.shape} pixels", _PYJPEGLS
        ) from error


def digest(pixels: Pixels) -> bytes:
    """Equal for equal pixels of the same type and shape."""
    hashed = hashlib.sha256(f"{pixels.dtype.str}{pixels.shape}".encode())
    hashed.update(np.ascontiguousarray(pixels).data)
    return hashed.digest()
