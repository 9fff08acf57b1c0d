"""Objects to convert: made-up pixels that compress like real ones, in the usual syntaxes."""

from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from dicom_pipeline_tests.imaging.images import (
    EXPLICIT,
    P,
    encapsulated,
    header,
    htj2k,
    j2k,
    jls,
    jpeg,
    jxl,
    native,
    rle,
    save,
)

_ROWS: Final = 1024
_CT_ROWS: Final = 512
_SHADES: Final = 4000
_HIGH_BIT: Final = {"BitsStored": 12, "HighBit": 15}
"""Viewers assume BitsStored - 1."""
_UN_OF_UNDEFINED_LENGTH: Final = b"\xe1\x7f\x10\x10UN\0\0\xff\xff\xff\xff\xfe\xff\xdd\xe0\0\0\0\0"
"""An element at which the viewer's parser gives up."""


class Source(NamedTuple):
    """One kind of object."""

    name: str
    syntax: str
    encode: Callable[[np.ndarray], bytes] | None
    """None: native."""
    dtype: str = "u2"
    bits: int = 12
    colour: bool = False
    rows: int = _ROWS
    kept: bool = True
    """Whether viewers open such objects as they are, so that they are only verified."""


def _lossless_jpeg(pixels: np.ndarray) -> bytes:
    return jpeg(pixels, lossless=True, predictor=1, bitspersample=pixels.dtype.itemsize * 8)


SOURCES: Final = (
    Source("Explicit VR LE", EXPLICIT, None, kept=False),
    Source("RLE", f"{P}.5", rle),
    Source("JPEG baseline, colour", f"{P}.4.50", jpeg, "u1", 8, colour=True),
    Source("JPEG extended, 12 bits", f"{P}.4.51", lambda p: jpeg(p, bitspersample=12), kept=False),
    Source("JPEG lossless", f"{P}.4.70", _lossless_jpeg),
    Source("JPEG lossless, 512 x 512", f"{P}.4.70", _lossless_jpeg, rows=_CT_ROWS),
    Source("JPEG-LS", f"{P}.4.80", lambda p: jls(p, 12)),
    Source("JPEG 2000", f"{P}.4.90", lambda p: j2k(p, bits=12)),
    Source("HTJ2K", f"{P}.4.201", htj2k),
    Source("JPEG XL", f"{P}.4.110", jxl),
)


def shades(dtype: str, rows: int, *, colour: bool = False) -> np.ndarray:
    """A body-like disc on a dark ground, with the noise of a scanner."""
    y, x = np.indices((rows, rows)) / rows - 0.5
    disc = np.clip(1.3 - 3.2 * np.hypot(x, y * 1.2), 0, 1) * (
        1 + 0.2 * np.sin(9 * x) * np.cos(7 * y)
    )
    largest = 250 if dtype == "u1" else _SHADES
    random = np.random.default_rng(rows)
    shape = (rows, rows, 3) if colour else (rows, rows)
    smooth = (disc[..., None] * np.array([1, 0.8, 0.7])) if colour else disc
    noise = random.normal(0, largest / 250, shape) * (smooth > 0)
    return np.clip(smooth / 1.3 * largest + noise, 0, largest).astype(dtype)


def make(path: Path, source: Source, *, converted: bool) -> int:
    """Write an object; return the bytes of its pixels.

    Args:
        path: where.
        source: which kind.
        converted: put something into the object that keeps viewers from opening it as it is.
    """
    pixels = shades(source.dtype, source.rows, colour=source.colour)
    if source.encode is None:
        native(path, pixels << 4, source.syntax, **_HIGH_BIT)
        return pixels.nbytes
    attributes = {"PhotometricInterpretation": "YBR_FULL_422"} if source.colour else {}
    encapsulated(path, pixels, source.syntax, [source.encode(pixels)],
                 BitsStored=source.bits, **attributes)  # fmt: skip
    if converted:
        with path.open("ab") as file:
            file.write(_UN_OF_UNDEFINED_LENGTH)
    return pixels.nbytes


def make_large(path: Path, frames: int) -> int:
    """Write a native object of 2 MiB a frame that must be converted; return its bytes of pixels."""
    frame = shades("u2", _ROWS) << 4
    ds = header(frame, NumberOfFrames=frames, **_HIGH_BIT)
    save(path, ds, EXPLICIT)
    length = frame.nbytes * frames
    with path.open("ab") as file:
        file.write(b"\xe0\x7f\x10\x00OW\0\0" + length.to_bytes(4, "little"))
        for number in range(frames):
            file.write(np.roll(frame, number, axis=0).tobytes())
    return length
