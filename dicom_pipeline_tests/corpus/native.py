"""Uncompressed pixel data: bytes as they are, in every byte order and layout."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset

from dicom_pipeline_tests.corpus.cases import EVEN, KINDS, WIDE_KINDS, Case, Content, Kind, Shown
from dicom_pipeline_tests.corpus.objects import GE_PRIVATE, describe, native, put_native, save
from dicom_pipeline_tests.imaging.images import BIG_ENDIAN, EXPLICIT, IMPLICIT, P

SYNTAXES = {
    "implicit": IMPLICIT,
    "explicit": EXPLICIT,
    "big-endian": BIG_ENDIAN,
    "deflated": f"{P}.1.99",
    "ge": GE_PRIVATE,
    "papyrus": "1.2.840.10008.1.20",
}
_SOME = {"u8", "i8", "u12", "u16", "i16", "rgb8", "rgb16", "u32", "i32"}
"""Kinds that are in the small corpus in every syntax."""


def _kinds() -> Iterator[Case]:
    for syntax, uid in SYNTAXES.items():
        for name, kind in (KINDS | WIDE_KINDS).items():
            if uid == GE_PRIVATE and np.dtype(kind.dtype).itemsize == 1:
                continue  # its byte order is not known
            for frames in (1, 3):
                core = syntax == "explicit" or (frames == 1 and name in _SOME)
                yield Case(
                    f"{syntax}-{name}" + ("-frames" if frames > 1 else ""),
                    lambda path, content, kind=kind, uid=uid, frames=frames: _plain(
                        path, content, kind, uid, frames
                    ),
                    core=core,
                )


def _plain(path: Path, content: Content, kind: Kind, uid: str, frames: int) -> Shown:
    pixels = content.noisy(
        kind.dtype, kind.low, kind.high, colour=kind.colour, frames=frames,
        shape=EVEN if frames > 1 else (17, 23),
    )  # fmt: skip
    native(path, pixels, uid, **kind.attributes)
    return Shown(pixels, rounding(pixels))


def rounding(pixels: np.ndarray) -> float:
    """What is lost where signed integers of 32 bits become floats, as a viewer holds them."""
    return 128 if pixels.dtype == np.int32 and pixels.min() < -(1 << 24) else 0


def _planar(path: Path, content: Content, dtype: str, uid: str, label: str = "RGB") -> Shown:
    pixels = content.noisy(dtype, 0, np.iinfo(dtype).max, colour=True, frames=2)
    ds = describe(pixels, PlanarConfiguration=1, PhotometricInterpretation=label)
    save(path, put_native(ds, pixels.transpose(0, 3, 1, 2), uid), uid)
    return Shown(pixels)


def _ybr(pixels: np.ndarray) -> np.ndarray:
    """RGB of 8-bit YCbCr (PS3.3 C.7.6.3.1.2)."""
    y, cb, cr = (pixels[..., n].astype(float) for n in range(3))
    rgb = np.stack(
        [
            y + 1.402 * (cr - 128),
            y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128),
            y + 1.772 * (cb - 128),
        ],
        axis=-1,
    )
    return np.clip(rgb.round(), 0, 255).astype("u1")


def _ybr_full(path: Path, content: Content, uid: str, *, planar: bool) -> Shown:
    pixels = content.noisy("u1", 0, 255, colour=True, frames=2)
    ds = describe(pixels, PhotometricInterpretation="YBR_FULL", PlanarConfiguration=int(planar))
    save(path, put_native(ds, pixels.transpose(0, 3, 1, 2) if planar else pixels, uid), uid)
    return Shown(_ybr(pixels), tolerance=1)


def _subsampled(path: Path, content: Content, uid: str, label: str) -> Shown:
    pixels = content.noisy("u1", 16, 235, shape=EVEN, colour=True, frames=2)
    pixels[:, :, 1::2, 1:] = pixels[:, :, 0::2, 1:]
    stored = np.empty((*pixels.shape[:2], EVEN[1] // 2, 4), "u1")
    stored[..., 0], stored[..., 1] = pixels[:, :, 0::2, 0], pixels[:, :, 1::2, 0]
    stored[..., 2], stored[..., 3] = pixels[:, :, 0::2, 1], pixels[:, :, 0::2, 2]
    ds = describe(pixels, PhotometricInterpretation=label)
    save(path, put_native(ds, stored, uid), uid)
    return Shown(_ybr(pixels), tolerance=1)


def _colours() -> Iterator[Case]:
    for syntax, uid in SYNTAXES.items():
        core = syntax in {"explicit", "big-endian"}
        for dtype in ("u1", "u2"):
            if (uid, dtype) != (GE_PRIVATE, "u1"):
                yield Case(
                    f"{syntax}-planar-{dtype}",
                    lambda p, c, dtype=dtype, uid=uid: _planar(p, c, dtype, uid), core=core,
                )  # fmt: skip
        if uid == GE_PRIVATE:
            continue
        for label in ("YBR_RCT", "YBR_ICT"):
            yield Case(
                f"{syntax}-planar-{label.lower().replace('_', '-')}",
                lambda p, c, uid=uid, label=label: _planar(p, c, "u1", uid, label), core=core,
            )  # fmt: skip
        for planar in (False, True):
            yield Case(
                f"{syntax}-ybr-full" + ("-planar" if planar else ""),
                lambda p, c, uid=uid, planar=planar: _ybr_full(p, c, uid, planar=planar), core=core,
            )  # fmt: skip
        yield Case(
            f"{syntax}-ybr-full-422",
            lambda p, c, uid=uid: _subsampled(p, c, uid, "YBR_FULL_422"), core=core,
        )  # fmt: skip


def _high_bit(path: Path, content: Content, uid: str, stored: int, high: int) -> Shown:
    pixels = content.noisy("u2", 0, (1 << stored) - 1)
    native(path, pixels << (high + 1 - stored), uid, BitsStored=stored, HighBit=high)
    return Shown(pixels)


def _stray(path: Path, content: Content, uid: str, dtype: str, bits: int) -> Shown:
    kind = np.dtype(dtype)
    low = -(1 << (bits - 1)) if kind.kind == "i" else 0
    pixels = content.noisy(dtype, low, low + (1 << bits) - 1)
    cells = pixels.view(f"u{kind.itemsize}") & np.array((1 << bits) - 1, f"u{kind.itemsize}")
    above = content.integers(0, 1 << (kind.itemsize * 8 - bits), cells.shape) << bits
    native(path, (cells | above.astype(cells.dtype)).view(dtype), uid, BitsStored=bits)
    return Shown(pixels)


def _masked(path: Path, content: Content, uid: str, bits: int) -> Shown:
    """Signed values whose unused bits are 0, not copies of the sign."""
    low = -(1 << (bits - 1))
    pixels = content.noisy("i2", low, low + (1 << bits) - 1)
    cells = pixels.view("u2") & np.array((1 << bits) - 1, "u2")
    native(path, cells.view("i2"), uid, BitsStored=bits)
    return Shown(pixels)


def _overlay(path: Path, content: Content, uid: str) -> Shown:
    pixels = content.noisy("u2", 0, 4095)
    plane = content.integers(0, 2, pixels.shape).astype("u2")
    ds = describe(pixels, BitsStored=12)
    for element, vr, value in (
        (0x0010, "US", pixels.shape[1]), (0x0011, "US", pixels.shape[2]), (0x0040, "CS", "G"),
        (0x0050, "SS", [1, 1]), (0x0100, "US", 16), (0x0102, "US", 12),
    ):  # fmt: skip
        ds.add_new((0x6000, element), vr, value)
    save(path, put_native(ds, pixels | plane << 12, uid), uid)
    return Shown(pixels)


def _bits() -> Iterator[Case]:
    for syntax in ("implicit", "explicit", "big-endian"):
        uid, core = SYNTAXES[syntax], syntax == "explicit"
        for stored, high in ((12, 15), (12, 13), (10, 11), (8, 11)):
            yield Case(f"{syntax}-high-bit-{stored}-{high}",
                       lambda p, c, s=stored, h=high, uid=uid: _high_bit(p, c, uid, s, h),
                       core=core)  # fmt: skip
        for dtype, bits in (("u2", 12), ("u2", 10), ("i2", 12), ("u1", 6), ("i1", 6), ("i4", 20)):
            yield Case(f"{syntax}-stray-{dtype}-{bits}",
                       lambda p, c, d=dtype, b=bits, uid=uid: _stray(p, c, uid, d, b),
                       core=core)  # fmt: skip
        yield Case(f"{syntax}-masked-12", lambda p, c, uid=uid: _masked(p, c, uid, 12), core=core)
        yield Case(f"{syntax}-overlay", lambda p, c, uid=uid: _overlay(p, c, uid), core=core)


def _one_bit(path: Path, content: Content, uid: str, frames: int, shape: tuple[int, int]) -> Shown:
    pixels = content.integers(0, 2, (frames, *shape)).astype("u1")
    ds = describe(pixels, BitsAllocated=1, BitsStored=1)
    packed = np.packbits(pixels.ravel(), bitorder="little").tobytes()
    ds.add_new("PixelData", "OB", packed + b"\0" * (len(packed) % 2))
    save(path, ds, uid)
    return Shown(pixels)


def floats(path: Path, ds: Dataset, values: np.ndarray, uid: str) -> Shown:
    """Float32 or float64 pixel data under a header that says nothing of integers."""
    for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
        if keyword in ds:
            del ds[keyword]
    order = ">" if uid == BIG_ENDIAN else "<"
    single = values.dtype.itemsize == 4
    keyword, vr = ("FloatPixelData", "OF") if single else ("DoubleFloatPixelData", "OD")
    ds.add_new(keyword, vr, values.astype(values.dtype.newbyteorder(order)).tobytes())
    save(path, ds, uid)
    return Shown(values.astype("f4"), tolerance=1e-6 if abs(values).max() <= 1 else 0)


def _float(
    path: Path, content: Content, uid: str, dtype: str, low: float, high: float, frames: int
) -> Shown:
    values = content.noisy("f8", 0, 1 << 20, frames=frames) / (1 << 20) * (high - low) + low
    return floats(path, describe(values.astype(dtype)), values.astype(dtype), uid)


def _float_with_sign(path: Path, content: Content, dtype: str) -> Shown:
    values = (content.noisy("f8", 0, 1 << 20) / 1000 - 77.7).astype(dtype)
    ds = describe(values, BitsStored=values.dtype.itemsize * 8)
    keyword, vr = ("FloatPixelData", "OF") if dtype == "f4" else ("DoubleFloatPixelData", "OD")
    ds.add_new(keyword, vr, values.astype(f"<{dtype}").tobytes())
    save(path, ds, EXPLICIT)
    return Shown(values.astype("f4"))


def _others() -> Iterator[Case]:
    for syntax in ("implicit", "explicit", "big-endian"):
        uid, core = SYNTAXES[syntax], syntax == "explicit"
        for frames, shape in ((1, (17, 23)), (1, EVEN), (3, EVEN), (3, (5, 7))):
            yield Case(f"{syntax}-one-bit-{frames}-{shape[0]}",
                       lambda p, c, f=frames, s=shape, uid=uid: _one_bit(p, c, uid, f, s),
                       core=core)  # fmt: skip
        for dtype in ("f4", "f8"):
            for low, high in ((-3.25, 1000.75), (0.0, 1.0), (-1e30, 1e30), (0.5, 0.75)):
                for frames in (1, 2):
                    yield Case(
                        f"{syntax}-{dtype}-{low}-{high}-{frames}",
                        lambda p, c, d=dtype, lo=low, hi=high, f=frames, uid=uid: _float(
                            p, c, uid, d, lo, hi, f
                        ),
                        core=core and frames == 1,
                    )
    for dtype in ("f4", "f8"):
        yield Case(f"{dtype}-with-sign", lambda p, c, d=dtype: _float_with_sign(p, c, d))
    for syntax in ("explicit", "big-endian"):
        uid = SYNTAXES[syntax]
        for shape in ((17, 23), EVEN, (16, 33)):
            yield Case(f"{syntax}-u8-in-ow-{shape[1]}",
                       lambda p, c, s=shape, uid=uid: _bytes_in_words(p, c, uid, s))  # fmt: skip


def _bytes_in_words(path: Path, content: Content, uid: str, shape: tuple[int, int]) -> Shown:
    pixels = content.noisy("u1", 0, 255, shape=shape)
    value = pixels.tobytes() + b"\0" * (pixels.size % 2)
    if uid == BIG_ENDIAN:
        value = np.frombuffer(value, "<u2").astype(">u2").tobytes()
    ds = describe(pixels)
    ds.add_new("PixelData", "OW", value)
    save(path, ds, uid)
    return Shown(pixels)


def _odd_frames(path: Path, content: Content, uid: str, kind: Kind, frames: int) -> Shown:
    pixels = content.noisy(
        kind.dtype, kind.low, kind.high, shape=(9, 11), colour=kind.colour, frames=frames
    )
    native(path, pixels, uid, **kind.attributes)
    return Shown(pixels)


def _odd_colour(path: Path, content: Content, uid: str, label: str, *, planar: bool) -> Shown:
    pixels = content.noisy("u1", 0, 255, shape=(9, 11), colour=True)
    ds = describe(pixels, PhotometricInterpretation=label, PlanarConfiguration=int(planar))
    save(path, put_native(ds, pixels.transpose(0, 3, 1, 2) if planar else pixels, uid), uid)
    return Shown(pixels) if label == "RGB" else Shown(_ybr(pixels), tolerance=1)


def _odd() -> Iterator[Case]:
    for syntax in ("implicit", "explicit", "big-endian"):
        for label, planar in (("RGB", False), ("RGB", True), ("YBR_FULL", False)):
            yield Case(
                f"{syntax}-odd-{label.lower().replace('_', '-')}" + ("-planar" if planar else ""),
                lambda p, c, uid=SYNTAXES[syntax], label=label, planar=planar: _odd_colour(
                    p, c, uid, label, planar=planar
                ),
                core=syntax == "explicit",
            )
    for syntax in ("implicit", "explicit", "big-endian"):
        for name in ("u8", "i8", "rgb8", "u16"):
            for frames in (2, 3):
                yield Case(
                    f"{syntax}-odd-{name}-{frames}",
                    lambda p, c, uid=SYNTAXES[syntax], k=KINDS[name], f=frames: _odd_frames(
                        p, c, uid, k, f
                    ),
                    core=syntax == "explicit",
                )


def cases() -> Iterator[Case]:
    yield from _odd()
    yield from _kinds()
    yield from _colours()
    yield from _bits()
    yield from _others()
