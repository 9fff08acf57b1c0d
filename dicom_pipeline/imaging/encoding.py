"""Encoding the frames of a rendition: JPEG-LS lossless, or plain where that cannot carry them."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import jpeg_ls
import numpy as np

from dicom_pipeline.imaging.decoding import decode_frames
from dicom_pipeline.imaging.image import Image
from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.samples import Pixels
from dicom_pipeline.imaging.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, JPEG_LS_LOSSLESS

_PYJPEGLS: Final = "pyjpegls"
_BYTE: Final = 8
_WORD: Final = 16


class EncodedFrames(NamedTuple):
    """The frames of a rendition, and what their pixels are."""

    syntax_uid: str
    frames: list[bytes]
    digests: list[bytes]
    dtype: np.dtype[np.generic]
    samples: int
    bits_stored: int


def displayable(source: DicomObject, image: Image) -> Iterator[Pixels]:
    """The decoded frames in a form that a viewer takes: floats of 64 bits become floats of 32."""
    for index, frame in enumerate(decode_frames(source, image)):
        if frame.dtype != np.float64:
            yield frame
            continue
        with np.errstate(over="ignore"):
            narrow = frame.astype(np.float32)
        if not np.array_equal(np.isfinite(frame), np.isfinite(narrow)):
            raise ImagingError(
                ErrorCode.DECODER_ERROR, f"frame {index}: values too large for 32-bit floats"
            )
        yield narrow


def encode_frames(frames: Iterable[Pixels], syntax_uid: str, image: Image) -> EncodedFrames:
    """Encode frame after frame, so that only one is in memory uncompressed."""
    encoded: list[bytes] = []
    digests: list[bytes] = []
    bits_stored = 0
    first: Pixels | None = None
    for pixels in frames:
        first = pixels if first is None else first
        bits = _bits_stored(pixels, image)
        bits_stored = max(bits_stored, bits)
        if pixels.dtype.itemsize > _WORD // 8:
            syntax_uid = EXPLICIT_VR_LITTLE_ENDIAN
        encode = _jpeg_ls if syntax_uid == JPEG_LS_LOSSLESS else _explicit
        encoded.append(encode(pixels, bits))
        digests.append(digest(pixels))
    assert first is not None
    samples = first.shape[2] if first.ndim > 2 else 1  # noqa: PLR2004  (rows, columns, samples)
    return EncodedFrames(syntax_uid, encoded, digests, first.dtype, samples, bits_stored)


def _bits_stored(pixels: Pixels, image: Image) -> int:
    """BitsStored of the rendition: the original's, if the pixels keep to it.

    Signed pixels take the whole cell, so that decoders without sign extension are right too, and
    no codec need know samples of less than 8 bits.
    """
    width = pixels.dtype.itemsize * 8
    if pixels.dtype.kind != "u":
        return width
    needed = int(pixels.max()).bit_length()
    return min(width, max(_BYTE, image.bits_stored, needed))


def _jpeg_ls(pixels: Pixels, bits: int) -> bytes:
    options = {} if pixels.ndim == 2 else {"planar_configuration": 0}  # noqa: PLR2004
    try:
        return bytes(
            jpeg_ls.encode_pixel_data(
                np.ascontiguousarray(pixels).tobytes(),
                rows=pixels.shape[0],
                columns=pixels.shape[1],
                samples_per_pixel=1 if pixels.ndim == 2 else pixels.shape[2],  # noqa: PLR2004
                bits_stored=bits,
                **options,
            )
        )
    except (RuntimeError, ValueError) as error:
        raise ImagingError(
            ErrorCode.DECODER_ERROR, f"JPEG-LS cannot encode {pixels.shape} pixels", _PYJPEGLS
        ) from error


def _explicit(pixels: Pixels, _bits: int) -> bytes:
    return pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()


def digest(pixels: Pixels) -> bytes:
    """Equal for equal pixels of the same type and shape."""
    hashed = hashlib.blake2b(f"{pixels.dtype.str}{pixels.shape}".encode())
    hashed.update(np.ascontiguousarray(pixels).data)
    return hashed.digest()
