"""What an object of the corpus is: how it is written, and what must become of it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from dicom_pipeline.imaging.outcomes import ErrorCode

ODD = (17, 23)
EVEN = (24, 32)


class Shown(NamedTuple):
    """A viewer must show these pixels, as they are or from a rendition."""

    pixels: np.ndarray
    """(frames, rows, columns), or (frames, rows, columns, 3) in RGB; palettes are applied."""
    tolerance: float = 0
    """Largest difference of a sample: more than 0 where the object itself is lossy."""


class Fails(NamedTuple):
    """The object is damaged: it must end as a failure with one of these codes."""

    codes: frozenset[ErrorCode]


Expectation = Shown | Fails
Maker = Callable[[Path, "Content"], Expectation]


class Case(NamedTuple):
    """One object of the corpus."""

    name: str
    """Unique; also the name of its file."""
    make: Maker
    """Writes the object to a path and tells what must become of it."""
    core: bool = True
    """Whether it is in the corpus of every run, or only in the full one."""

    def write(self, path: Path) -> Expectation:
        return self.make(path, Content(self.name))


class Content:
    """Pixels of one object, unlike those of any other, so that a stale image is seen."""

    def __init__(self, name: str) -> None:
        self._random = np.random.default_rng(crc32(name.encode()))

    def noisy(
        self,
        dtype: str,
        low: int,
        high: int,
        *,
        shape: tuple[int, ...] = ODD,
        colour: bool = False,
        frames: int = 1,
    ) -> np.ndarray:
        """A ramp under noise that reaches both bounds: (frames, rows, columns[, 3])."""
        whole = (frames, *shape, 3) if colour else (frames, *shape)
        ramp = np.linspace(low, high, shape[0] * shape[1]).reshape(1, *shape)
        spread = (high - low) / 12
        pixels = (ramp[..., None] if colour else ramp) + self._random.uniform(
            -spread, spread, whole
        )
        bounded = np.clip(pixels, low, high).round()
        flat = bounded.reshape(frames, -1)
        flat[:, 0], flat[:, -1] = low, high
        return bounded.astype(dtype)

    def smooth(
        self,
        dtype: str,
        high: int,
        *,
        shape: tuple[int, int] = EVEN,
        colour: bool = False,
        frames: int = 1,
    ) -> np.ndarray:
        """Slopes that lossy codecs keep nearly as they are: (frames, rows, columns[, 3])."""
        samples = 3 if colour else 1
        rows, columns = np.indices(shape) / np.array(shape).reshape(2, 1, 1)
        planes = []
        for _ in range(frames * samples):
            start, down, right = self._random.uniform(0.1, 0.4, 3)
            planes.append((start + down * rows + right * columns) / 1.25 * high)
        stack = np.stack(planes).reshape(frames, samples, *shape).transpose(0, 2, 3, 1)
        chosen = stack if colour else stack[..., 0]
        return np.ascontiguousarray(chosen.round().astype(dtype))

    def integers(self, low: int, high: int, shape: tuple[int, ...]) -> np.ndarray:
        return self._random.integers(low, high, shape)


class Kind(NamedTuple):
    """A kind of pixels: the type of a cell, its values and what the object says of it."""

    dtype: str
    low: int
    high: int
    attributes: dict[str, Any]
    colour: bool = False

    @property
    def bits(self) -> int:
        return int(self.attributes.get("BitsStored", np.dtype(self.dtype).itemsize * 8))

    @property
    def signed(self) -> bool:
        return self.dtype.startswith("i")


KINDS = {
    "u8": Kind("u1", 0, 255, {}),
    "u8-of-6": Kind("u1", 0, 63, {"BitsStored": 6}),
    "u16-of-8": Kind("u2", 0, 255, {"BitsStored": 8}),
    "i16-of-8": Kind("i2", -128, 127, {"BitsStored": 8}),
    "i8": Kind("i1", -128, 127, {}),
    "u10": Kind("u2", 0, 1023, {"BitsStored": 10}),
    "u12": Kind("u2", 0, 4095, {"BitsStored": 12}),
    "u14": Kind("u2", 0, 16383, {"BitsStored": 14}),
    "u16": Kind("u2", 0, 65535, {}),
    "u16-dark": Kind("u2", 0, 200, {}),
    "i10": Kind("i2", -512, 511, {"BitsStored": 10}),
    "i12": Kind("i2", -2048, 2047, {"BitsStored": 12}),
    "i14": Kind("i2", -8192, 8191, {"BitsStored": 14}),
    "i16": Kind("i2", -32768, 32767, {}),
    "i16-dark": Kind("i2", -100, 100, {}),
    "mono1": Kind("u2", 0, 4095, {"BitsStored": 12, "PhotometricInterpretation": "MONOCHROME1"}),
    "rgb8": Kind("u1", 0, 255, {}, colour=True),
    "rgb16": Kind("u2", 0, 65535, {}, colour=True),
    "rgb16-of-12": Kind("u2", 0, 4095, {"BitsStored": 12}, colour=True),
}
WIDE_KINDS = {
    "u32": Kind("u4", 0, (1 << 32) - 1, {}),
    "u32-of-20": Kind("u4", 0, (1 << 20) - 1, {"BitsStored": 20}),
    "i32-of-20": Kind("i4", -(1 << 19), (1 << 19) - 1, {"BitsStored": 20}),
    "i32-of-24": Kind("i4", -(1 << 23), (1 << 23) - 1, {"BitsStored": 24}),
    "i32": Kind("i4", -(1 << 31), (1 << 31) - 1, {}),
}


def unsigned(pixels: np.ndarray, bits: int) -> np.ndarray:
    """The lowest ``bits`` of each cell, as codecs take signed pixels."""
    cells = pixels.view(f"u{pixels.dtype.itemsize}")
    return cells & np.array((1 << bits) - 1, cells.dtype)


def named(prefix: str, makers: Iterable[tuple[str, Maker]], *, core: bool = True) -> Iterator[Case]:
    """Cases from (name, maker) pairs."""
    return (Case(f"{prefix}-{name}", make, core) for name, make in makers)
