"""Lossy codecs: baseline, extended and progressive JPEG, near-lossless JPEG-LS, JPEG 2000, …"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np

from dicom_pipeline_tests.corpus.cases import EVEN, Case, Content, Shown
from dicom_pipeline_tests.corpus.objects import encapsulated
from dicom_pipeline_tests.imaging.images import P, jpeg_without_app_segments

Encode = Callable[[np.ndarray], bytes]

_QUALITY = 97


def jpeg(frame: np.ndarray, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(frame, level=_QUALITY, **options))


def ycbcr(frame: np.ndarray, subsampling: str = "444") -> bytes:
    """JFIF: YCbCr whatever the object says."""
    return jpeg(frame, colorspace="RGB", outcolorspace="YCBCR", subsampling=subsampling)


def rgb(frame: np.ndarray) -> bytes:
    """RGB with an Adobe marker that says so."""
    return jpeg(frame, colorspace="RGB", outcolorspace="RGB")


def bare(encode: Encode, frame: np.ndarray) -> bytes:
    return jpeg_without_app_segments(encode(frame))


def with_ids(ids: bytes, encode: Encode, frame: np.ndarray) -> bytes:
    """The component identifiers of a JPEG without application segments, changed."""
    stream = bytearray(jpeg_without_app_segments(encode(frame)))
    for marker, first, step in ((b"\xff\xc0", 10, 3), (b"\xff\xda", 5, 2)):
        start = stream.index(marker)
        for component in range(3):
            stream[start + first + step * component] = ids[component]
    return bytes(stream)


def with_segment(segment: bytes, encode: Encode, frame: np.ndarray) -> bytes:
    """A segment put right behind SOI."""
    stream = encode(frame)
    length = (len(segment)).to_bytes(2, "big")
    return stream[:2] + segment[:2] + length + segment[2:] + stream[2:]


def swapping_profile() -> bytes:
    """A small ICC profile (version 2, matrix and gamma) in which red and blue change places."""
    xyz = {b"rXYZ": (0.1431, 0.0606, 0.7141), b"gXYZ": (0.3851, 0.7169, 0.0971),
           b"bXYZ": (0.4361, 0.2225, 0.0139), b"wtpt": (0.9642, 1.0, 0.8249)}  # fmt: skip
    values = {
        tag: b"XYZ " + bytes(4) + b"".join(round(n * 65536).to_bytes(4, "big") for n in numbers)
        for tag, numbers in xyz.items()
    }
    gamma = b"curv" + bytes(4) + (1).to_bytes(4, "big") + (0x0233).to_bytes(2, "big") + bytes(2)
    values |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), gamma)
    values[b"desc"] = b"desc" + bytes(4) + (5).to_bytes(4, "big") + b"swap\0" + bytes(79)
    values[b"cprt"] = b"text" + bytes(4) + b"none\0" + bytes(3)
    table, body = len(values).to_bytes(4, "big"), b""
    start = 128 + 4 + 12 * len(values)
    for tag, value in values.items():
        table += tag + (start + len(body)).to_bytes(4, "big") + len(value).to_bytes(4, "big")
        body += value
    size = (start + len(body)).to_bytes(4, "big")
    white = b"".join(round(n * 65536).to_bytes(4, "big") for n in (0.9642, 1.0, 0.8249))
    head = size + bytes(4) + b"\x02\x10\0\0mntrRGB XYZ " + bytes(12) + b"acsp" + bytes(28) + white
    return head + bytes(128 - len(head)) + table + body


_ORIENTED = b"\xff\xe1Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
"""EXIF that asks viewers to turn the picture by 90 degrees."""
_PROFILED = b"\xff\xe2ICC_PROFILE\0\1\1" + swapping_profile()
_ADOBE = b"\xff\xeeAdobe\0\x64\0\0\0\0"


def near(frame: np.ndarray, interleave: int = 2) -> bytes:
    colour = frame.ndim == 3
    source = np.ascontiguousarray(frame.transpose(2, 0, 1)) if not interleave and colour else frame
    bits = 8 if frame.dtype.itemsize == 1 else 16
    return bytes(
        jpeg_ls.encode_buffer(
            source.tobytes(), frame.shape[0], frame.shape[1], 3 if colour else 1, bits,
            lossy_error=2, interleave_mode=interleave if colour else 0,
        )
    )  # fmt: skip


def j2k(frame: np.ndarray, **options: Any) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            frame, level=60, reversible=False, codecformat="J2K", resolutions=3, **options
        )
    )


def htj2k(frame: np.ndarray, **options: Any) -> bytes:
    return bytes(
        imagecodecs.htj2k_encode(frame, level=0.0005, reversible=False, resolutions=2, **options)
    )


def jxl(frame: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(frame, distance=0.3))


def recompressed(encode: Encode, frame: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpegxl_encode_jpeg(encode(frame)))


def _lossy(
    path: Path, content: Content, syntax: str, encode: Encode, high: int, label: str | None,
    tolerance: int, frames: int, extra: dict[str, Any], shape: tuple[int, int] = EVEN,
) -> Shown:  # fmt: skip
    dtype = "u1" if high < 256 else "u2"
    pixels = content.smooth(dtype, high, colour=label is not None, frames=frames, shape=shape)
    attributes: dict[str, Any] = {"LossyImageCompression": "01", **extra}
    if label is not None:
        attributes["PhotometricInterpretation"] = label
    encapsulated(path, pixels, syntax, [encode(frame) for frame in pixels], **attributes)
    return Shown(pixels, tolerance)


_S422, _S420 = partial(ycbcr, subsampling="422"), partial(ycbcr, subsampling="420")
_LABELS = ("RGB", "YBR_FULL", "YBR_FULL_422")
_12 = {"BitsStored": 12}
_1_2_1 = b"\x00\x01\x02"

# name: (syntax, encoder, largest value, labels or None, tolerance, attributes)
CODINGS: dict[str, tuple[str, Encode, int, tuple[str | None, ...], int, dict[str, Any]]] = {
    "baseline": (f"{P}.4.50", jpeg, 255, (None,), 4, {}),
    "baseline-bare": (f"{P}.4.50", partial(bare, jpeg), 255, (None,), 4, {}),
    "baseline-in-16": (
        f"{P}.4.50", lambda f: jpeg(f.astype("u1")), 255, (None,), 4,
        {"BitsAllocated": 16, "BitsStored": 8}),
    "baseline-ycbcr": (f"{P}.4.50", ycbcr, 255, _LABELS, 8, {}),
    "baseline-ycbcr-planar": (f"{P}.4.50", ycbcr, 255, _LABELS, 8, {"PlanarConfiguration": 1}),
    "baseline-422": (f"{P}.4.50", _S422, 255, _LABELS, 10, {}),
    "baseline-420": (f"{P}.4.50", _S420, 255, (*_LABELS, "YBR_PARTIAL_420"), 12, {}),
    "baseline-ycbcr-bare": (
        f"{P}.4.50", partial(bare, ycbcr), 255, ("YBR_FULL", "YBR_FULL_422"), 8, {}),
    "baseline-rgb": (f"{P}.4.50", rgb, 255, _LABELS, 5, {}),
    "baseline-rgb-bare": (f"{P}.4.50", partial(bare, rgb), 255, ("RGB",), 5, {}),
    "baseline-rgb-ids": (
        f"{P}.4.50", partial(with_ids, b"RGB", rgb), 255, _LABELS, 5, {}),
    "baseline-ids-012": (
        f"{P}.4.50", partial(with_ids, _1_2_1, ycbcr), 255, ("YBR_FULL", "YBR_FULL_422"), 8, {}),
    "baseline-rgb-ids-012": (f"{P}.4.50", partial(with_ids, _1_2_1, rgb), 255, ("RGB",), 5, {}),
    "baseline-adobe-ycbcr": (
        f"{P}.4.50", partial(with_segment, _ADOBE + b"\x01", partial(bare, ycbcr)), 255,
        _LABELS, 8, {}),
    "baseline-oriented": (
        f"{P}.4.50", partial(with_segment, _ORIENTED, ycbcr), 255, ("YBR_FULL_422",), 8, {}),
    "baseline-oriented-grey": (
        f"{P}.4.50", partial(with_segment, _ORIENTED, jpeg), 255, (None,), 4, {}),
    "baseline-profiled": (
        f"{P}.4.50", partial(with_segment, _PROFILED, ycbcr), 255, ("YBR_FULL_422",), 8, {}),
    "baseline-profiled-grey": (
        f"{P}.4.50", partial(with_segment, _PROFILED, jpeg), 255, (None,), 4, {}),
    "extended-8": (f"{P}.4.51", jpeg, 255, (None,), 4, {}),
    "extended-8-in-16": (
        f"{P}.4.51", lambda f: jpeg(f.astype("u1")), 255, (None,), 4,
        {"BitsAllocated": 16, "BitsStored": 8}),
    "extended-12": (
        f"{P}.4.51", partial(jpeg, bitspersample=12), 4095, (None,), 12, _12),
    "extended-ycbcr": (f"{P}.4.51", ycbcr, 255, _LABELS, 8, {}),
    "extended-ycbcr-bare": (
        f"{P}.4.51", partial(bare, ycbcr), 255, ("YBR_FULL", "YBR_FULL_422"), 8, {}),
    "extended-422": (f"{P}.4.51", _S422, 255, _LABELS, 10, {}),
    "extended-rgb": (f"{P}.4.51", rgb, 255, _LABELS, 5, {}),
    "extended-rgb-bare": (f"{P}.4.51", partial(bare, rgb), 255, ("RGB",), 5, {}),
    "spectral": (f"{P}.4.53", jpeg, 255, (None,), 4, {}),
    "progressive": (f"{P}.4.55", jpeg, 255, (None,), 4, {}),
    "progressive-12": (
        f"{P}.4.55", partial(jpeg, bitspersample=12), 4095, (None,), 12, _12),
    "arithmetic": (f"{P}.4.52", jpeg, 255, (None,), 4, {}),
    "near": (f"{P}.4.81", near, 255, (None,), 2, {}),
    "near-16": (f"{P}.4.81", near, 4095, (None,), 2, {"BitsStored": 16}),
    "near-rgb": (f"{P}.4.81", near, 255, ("RGB",), 2, {}),
    "near-rgb-by-plane": (
        f"{P}.4.81", partial(near, interleave=0), 255, ("RGB",), 2, {"PlanarConfiguration": 1}),
    "near-rgb-none": (f"{P}.4.81", partial(near, interleave=0), 255, ("RGB",), 2, {}),
    "near-rgb-line": (f"{P}.4.81", partial(near, interleave=1), 255, ("RGB",), 2, {}),
    "j2k-lossy": (f"{P}.4.91", partial(j2k, mct=False), 255, (None,), 6, {}),
    "j2k-lossy-12": (
        f"{P}.4.91", partial(j2k, mct=False, bitspersample=12), 4095, (None,), 30, _12),
    "j2k-lossy-ict": (
        f"{P}.4.91", partial(j2k, mct=True), 255, ("YBR_ICT", *_LABELS), 8, {}),
    "j2k-lossy-no-mct": (f"{P}.4.91", partial(j2k, mct=False), 255, ("RGB",), 6, {}),
    "htj2k-lossy": (f"{P}.4.203", htj2k, 255, (None,), 8, {}),
    "htj2k-lossy-ict": (
        f"{P}.4.203", partial(htj2k, rgb=True), 255, ("YBR_ICT", "RGB"), 10, {}),
    "jxl-lossy": (f"{P}.4.112", jxl, 255, (None,), 8, {}),
    "jxl-lossy-rgb": (f"{P}.4.112", jxl, 255, ("RGB", "XYB"), 12, {}),
    "jxl-recompressed": (f"{P}.4.111", partial(recompressed, jpeg), 255, (None,), 4, {}),
    "jxl-recompressed-ycbcr": (
        f"{P}.4.111", partial(recompressed, ycbcr), 255, _LABELS, 8, {}),
    "jxl-recompressed-422": (
        f"{P}.4.111", partial(recompressed, _S422), 255, _LABELS, 10, {}),
}  # fmt: skip


def _ybr_samples(path: Path, content: Content, syntax: str, encode: Encode, label: str) -> Shown:
    """Samples of YCbCr in a codec that knows nothing of colour."""
    pixels = content.smooth("u1", 255, colour=True)
    rgb_pixels = pixels[0].astype(float)
    r, g, b = (rgb_pixels[..., n] for n in range(3))
    ybr = np.stack(
        [
            0.299 * r + 0.587 * g + 0.114 * b,
            -0.168736 * r - 0.331264 * g + 0.5 * b + 128,
            0.5 * r - 0.418688 * g - 0.081312 * b + 128,
        ],
        axis=-1,
    )
    samples = np.clip(ybr.round(), 0, 255).astype("u1")
    encapsulated(path, pixels, syntax, [encode(samples)], PhotometricInterpretation=label)
    return Shown(pixels, tolerance=3)


def _rle(frame: np.ndarray) -> bytes:
    from dicom_pipeline_tests.imaging.images import rle  # noqa: PLC0415

    return rle(frame)


_YBR_CODECS: dict[str, tuple[str, Encode]] = {
    "rle": (f"{P}.5", _rle),
    "jls": (f"{P}.4.80", lambda f: bytes(jpeg_ls.encode_buffer(
        f.tobytes(), *f.shape[:2], 3, 8, interleave_mode=2))),
    "j2k": (f"{P}.4.90", lambda f: bytes(imagecodecs.jpeg2k_encode(
        f, level=0, reversible=True, codecformat="J2K", mct=False, resolutions=3))),
    "htj2k": (f"{P}.4.201", lambda f: bytes(imagecodecs.htj2k_encode(
        f, reversible=True, rgb=False, resolutions=2))),
    "lossless": (f"{P}.4.70", lambda f: bytes(imagecodecs.jpeg8_encode(
        f, lossless=True, predictor=1, colorspace="RGB", outcolorspace="RGB"))),
    "encapsulated": (f"{P}.1.98", lambda f: f.tobytes()),
}  # fmt: skip


def cases() -> Iterator[Case]:
    for name, (syntax, encode, high, labels, tolerance, extra) in CODINGS.items():
        for label in labels:
            for frames in (1, 2):
                suffix = f"-{label.lower()}" if label else ""
                yield Case(
                    f"{name}{suffix}" + ("-frames" if frames > 1 else ""),
                    partial(_lossy, syntax=syntax, encode=encode, high=high, label=label,
                            tolerance=tolerance, frames=frames, extra=extra),
                    core=frames == 1,
                )  # fmt: skip
    for name, (syntax, encode) in _YBR_CODECS.items():
        for label in ("YBR_FULL", "YBR_FULL_422"):
            if (name, label) == ("encapsulated", "YBR_FULL_422"):
                continue  # half as many samples
            yield Case(
                f"{name}-samples-{label.lower()}",
                partial(_ybr_samples, syntax=syntax, encode=encode, label=label),
            )
