"""Lossless codecs: every kind of pixels that a codec takes, in every way in which it takes them."""

import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np
from rle.utils import encode_pixel_data

from dicom_pipeline_tests.corpus.cases import (
    EVEN,
    KINDS,
    ODD,
    WIDE_KINDS,
    Case,
    Content,
    Kind,
    Shown,
    unsigned,
)
from dicom_pipeline_tests.corpus.native import rounding
from dicom_pipeline_tests.corpus.objects import encapsulated
from dicom_pipeline_tests.imaging.images import P

Encode = Callable[[np.ndarray, Kind], bytes]
"""The codestream of one frame of (rows, columns[, 3])."""


def rle(frame: np.ndarray, _kind: Kind) -> bytes:
    return bytes(
        encode_pixel_data(
            frame.tobytes(), byteorder="<", rows=frame.shape[0], columns=frame.shape[1],
            samples_per_pixel=3 if frame.ndim == 3 else 1,
            bits_allocated=frame.dtype.itemsize * 8,
        )
    )  # fmt: skip


def deflated(frame: np.ndarray, _kind: Kind) -> bytes:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(frame.tobytes()) + deflater.flush()


def plain(frame: np.ndarray, _kind: Kind) -> bytes:
    return frame.tobytes()


def planes(encode: Encode, frame: np.ndarray, kind: Kind) -> bytes:
    """Coded plane by plane: for codecs that take bytes as they come."""
    return encode(np.ascontiguousarray(frame.transpose(2, 0, 1)), kind)


def jpeg_lossless(frame: np.ndarray, kind: Kind, *, predictor: int, whole: bool = False) -> bytes:
    bits = frame.dtype.itemsize * 8 if whole else kind.bits
    cells = unsigned(frame, bits)
    options: dict[str, Any] = {"colorspace": "RGB", "outcolorspace": "RGB"} if kind.colour else {}
    return bytes(
        imagecodecs.jpeg8_encode(
            cells, lossless=True, predictor=predictor, bitspersample=bits, **options
        )
    )


def jls(frame: np.ndarray, kind: Kind, *, interleave: int = 2, whole: bool = False) -> bytes:
    bits = frame.dtype.itemsize * 8 if whole else kind.bits
    cells = unsigned(frame, bits)
    samples = 3 if kind.colour else 1
    ordered = {0: (2, 0, 1), 1: (0, 1, 2), 2: (0, 1, 2)}[interleave]
    source = np.ascontiguousarray(cells.transpose(ordered) if kind.colour else cells)
    return bytes(
        jpeg_ls.encode_buffer(
            source.tobytes(), frame.shape[0], frame.shape[1], samples, bits,
            interleave_mode=interleave if kind.colour else 0,
        )
    )  # fmt: skip


def j2k(frame: np.ndarray, kind: Kind, *, mct: bool = False, jp2: bool = False) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            frame, level=0, reversible=True, codecformat="JP2" if jp2 else "J2K", mct=mct,
            bitspersample=kind.bits, resolutions=3,
        )
    )  # fmt: skip


def j2k_unsigned(frame: np.ndarray, kind: Kind) -> bytes:
    """Two's complement under an unsigned header."""
    return j2k(unsigned(frame, kind.bits), kind)


def htj2k(frame: np.ndarray, _kind: Kind, *, mct: bool = False) -> bytes:
    return bytes(imagecodecs.htj2k_encode(frame, reversible=True, rgb=mct, resolutions=2))


def jxl(frame: np.ndarray, kind: Kind, *, container: bool = False) -> bytes:
    cells = unsigned(frame, frame.dtype.itemsize * 8)
    return bytes(imagecodecs.jpegxl_encode(cells, lossless=True, effort=3, usecontainer=container))


def _mask(frame: np.ndarray, kind: Kind) -> np.ndarray:
    return unsigned(frame, kind.bits).view(frame.dtype)


_ALL = set(KINDS)
_OF_8 = {"u16-of-8", "i16-of-8"}
_GREY = {name for name, kind in KINDS.items() if not kind.colour}
_COLOUR = _ALL - _GREY
_WIDE = _ALL | set(WIDE_KINDS)

# name of the coding: (transfer syntax, encoder, kinds, attributes of its objects)
CODINGS: dict[str, tuple[str, Encode, set[str], dict[str, Any]]] = {
    "rle": (f"{P}.5", rle, _WIDE, {}),
    "rle-planar": (f"{P}.5", rle, _COLOUR, {"PlanarConfiguration": 1}),
    "deflated-frame": (f"{P}.8.1", deflated, _WIDE, {}),
    "deflated-frame-planar": (
        f"{P}.8.1", partial(planes, deflated), _COLOUR, {"PlanarConfiguration": 1}),
    "encapsulated": (f"{P}.1.98", plain, _WIDE, {}),
    "encapsulated-planar": (
        f"{P}.1.98", partial(planes, plain), _COLOUR, {"PlanarConfiguration": 1}),
    **{
        f"lossless-{predictor}": (
            f"{P}.4.57", partial(jpeg_lossless, predictor=predictor), _ALL - _OF_8, {})
        for predictor in range(1, 8)
    },
    "lossless-sv1": (f"{P}.4.70", partial(jpeg_lossless, predictor=1), _ALL - _OF_8, {}),
    "lossless-sv1-planar": (
        f"{P}.4.70", partial(jpeg_lossless, predictor=1), _COLOUR, {"PlanarConfiguration": 1}),
    "lossless-sv1-whole": (
        f"{P}.4.70", partial(jpeg_lossless, predictor=1, whole=True),
        {"i10", "i12", "i14", "u12", "u16-of-8", "i16-of-8", "u8-of-6"}, {}),
    "jls-none": (f"{P}.4.80", partial(jls, interleave=0), _COLOUR, {}),
    "jls-none-planar": (
        f"{P}.4.80", partial(jls, interleave=0), _COLOUR, {"PlanarConfiguration": 1}),
    "jls-line": (f"{P}.4.80", partial(jls, interleave=1), _COLOUR, {}),
    "jls-line-planar": (
        f"{P}.4.80", partial(jls, interleave=1), _COLOUR, {"PlanarConfiguration": 1}),
    "jls-sample": (f"{P}.4.80", jls, _ALL, {}),
    "jls-sample-planar": (f"{P}.4.80", jls, _COLOUR, {"PlanarConfiguration": 1}),
    "jls-near-syntax": (f"{P}.4.81", jls, _ALL, {}),
    "jls-whole": (
        f"{P}.4.80", partial(jls, whole=True),
        {"i10", "i12", "i14", "u12", "u16-of-8", "i16-of-8", "u8-of-6"}, {}),
    "j2k": (f"{P}.4.90", j2k, _ALL, {}),
    "j2k-planar": (f"{P}.4.90", j2k, _COLOUR, {"PlanarConfiguration": 1}),
    "j2k-lossy-syntax": (f"{P}.4.91", j2k, _ALL, {}),
    "j2k-unsigned": (f"{P}.4.90", j2k_unsigned, {"i8", "i12", "i16"}, {}),
    "j2k-jp2": (f"{P}.4.90", partial(j2k, jp2=True), {"u8", "u12", "i16", "rgb8"}, {}),
    "j2k-mct": (
        f"{P}.4.90", partial(j2k, mct=True), _COLOUR, {"PhotometricInterpretation": "YBR_RCT"}),
    "j2k-mct-planar": (
        f"{P}.4.90", partial(j2k, mct=True), _COLOUR,
        {"PhotometricInterpretation": "YBR_RCT", "PlanarConfiguration": 1}),
    "j2k-mct-rgb": (f"{P}.4.90", partial(j2k, mct=True), _COLOUR, {}),
    "j2k-mct-ybr-full": (
        f"{P}.4.90", partial(j2k, mct=True), _COLOUR, {"PhotometricInterpretation": "YBR_FULL"}),
    "j2k-mct-ybr-full-422": (
        f"{P}.4.90", partial(j2k, mct=True), _COLOUR,
        {"PhotometricInterpretation": "YBR_FULL_422"}),
    "j2k-mct-ybr-ict": (
        f"{P}.4.91", partial(j2k, mct=True), _COLOUR, {"PhotometricInterpretation": "YBR_ICT"}),
    "j2k-rct-without-mct": (
        f"{P}.4.90", j2k, _COLOUR, {"PhotometricInterpretation": "YBR_RCT"}),
    "j2k-multi-component": (f"{P}.4.92", j2k, {"u8", "u12", "rgb8"}, {}),
    "htj2k": (f"{P}.4.201", htj2k, _ALL, {}),
    "htj2k-rpcl": (f"{P}.4.202", htj2k, {"u8", "u12", "i16", "rgb8"}, {}),
    "htj2k-lossy-syntax": (f"{P}.4.203", htj2k, {"u8", "u16", "i12", "rgb8"}, {}),
    "htj2k-planar": (f"{P}.4.201", htj2k, _COLOUR, {"PlanarConfiguration": 1}),
    "htj2k-rct": (
        f"{P}.4.201", partial(htj2k, mct=True), _COLOUR, {"PhotometricInterpretation": "YBR_RCT"}),
    "htj2k-mct-rgb": (f"{P}.4.201", partial(htj2k, mct=True), _COLOUR, {}),
    "htj2k-mct-ybr-full": (
        f"{P}.4.201", partial(htj2k, mct=True), _COLOUR, {"PhotometricInterpretation": "YBR_FULL"}),
    "htj2k-rct-without-mct": (
        f"{P}.4.201", htj2k, _COLOUR, {"PhotometricInterpretation": "YBR_RCT"}),
    "jxl": (f"{P}.4.110", jxl, _ALL, {}),
    "jxl-lossy-syntax": (f"{P}.4.112", jxl, {"u8", "u16", "i16", "rgb8"}, {}),
    "jxl-container": (f"{P}.4.110", partial(jxl, container=True), {"u8", "u16", "rgb8"}, {}),
    "jxl-planar": (f"{P}.4.110", jxl, _COLOUR, {"PlanarConfiguration": 1}),
}  # fmt: skip
_CORE = {"u8", "i8", "u12", "u16", "u32", "i12", "i16", "rgb8", "rgb16"}


def _coded(
    path: Path, content: Content, coding: str, kind: Kind, frames: int, shape: tuple[int, int]
) -> Shown:
    syntax, encode, _, attributes = CODINGS[coding]
    pixels = content.noisy(
        kind.dtype, kind.low, kind.high, shape=shape, colour=kind.colour, frames=frames
    )
    encapsulated(
        path, pixels, syntax, [encode(frame, kind) for frame in pixels],
        **(kind.attributes | attributes),
    )  # fmt: skip
    return Shown(pixels, rounding(pixels))


def cases() -> Iterator[Case]:
    for coding, (_, _, kinds, _) in CODINGS.items():
        for name, kind in (KINDS | WIDE_KINDS).items():
            if name not in kinds:
                continue
            for frames, shape in ((1, ODD), (3, EVEN), (2, (16, 9))):
                yield Case(
                    f"{coding}-{name}" + (f"-{frames}-frames" if frames > 1 else ""),
                    partial(_coded, coding=coding, kind=kind, frames=frames, shape=shape),
                    core=frames == 1 and name in _CORE,
                )
