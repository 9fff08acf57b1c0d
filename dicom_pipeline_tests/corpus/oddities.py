"""What no encoder here writes by itself: labels that lie, scans and precisions put together."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np

from dicom_pipeline.imaging.outcomes import ErrorCode
from dicom_pipeline_tests.corpus.cases import EVEN, KINDS, Case, Content, Fails, Kind, Shown
from dicom_pipeline_tests.corpus.lossless import htj2k, j2k, jls, jpeg_lossless
from dicom_pipeline_tests.corpus.lossy import jpeg
from dicom_pipeline_tests.corpus.objects import describe, encapsulated, native, put_native, save
from dicom_pipeline_tests.imaging.images import EXPLICIT, P

_U8, _U12, _U16 = KINDS["u8"], KINDS["u12"], KINDS["u16"]
_SENSELESS = Fails(frozenset({ErrorCode.UNREADABLE_OBJECT}))


def _segments(stream: bytes) -> tuple[dict[int, bytes], bytes]:
    """The segments of a JPEG by the second byte of their markers, and what follows the last."""
    found, position = {}, 2
    while True:
        marker = stream[position + 1]
        end = position + 2 + int.from_bytes(stream[position + 2 : position + 4], "big")
        found[marker] = stream[position:end]
        position = end
        if marker == 0xDA:
            return found, stream[position:-2]


def _scan_by_scan(frame: np.ndarray) -> bytes:
    """Lossless JPEG of three components with a scan, and Huffman tables, for each."""
    planes = [np.ascontiguousarray(frame[..., sample]) for sample in range(3)]
    coded = [_segments(jpeg_lossless(plane, _U8, predictor=1)) for plane in planes]
    size = coded[0][0][0xC3][4:9]
    components = b"".join(bytes([sample, 0x11, 0]) for sample in (1, 2, 3))
    stream = b"\xff\xd8\xff\xc3\0\x11" + size + b"\x03" + components
    for sample, (segments, data) in enumerate(coded, start=1):
        scan = segments[0xDA]
        stream += segments[0xC4] + scan[:5] + bytes([sample]) + scan[6:] + data
    return stream + b"\xff\xd9"


def _scans(path: Path, content: Content) -> Shown:
    pixels = content.noisy("u1", 0, 255, shape=EVEN, colour=True)
    encapsulated(path, pixels, f"{P}.4.57", [_scan_by_scan(pixels[0])])
    return Shown(pixels)


def _point_transform(path: Path, content: Content, syntax: str) -> Shown:
    """Pixels without their lowest bit, which is 0 again where the transform is undone."""
    halves = content.noisy("u2", 0, 2047, shape=EVEN)
    stream = bytearray(
        imagecodecs.jpeg8_encode(halves[0], lossless=True, predictor=1, bitspersample=11)
    )
    frame_header = stream.index(b"\xff\xc3")
    stream[frame_header + 4] = 12
    scan = stream.index(b"\xff\xda")
    stream[scan + 1 + int.from_bytes(stream[scan + 2 : scan + 4], "big")] = 1
    encapsulated(path, halves, syntax, [bytes(stream)], BitsStored=12)
    return Shown(halves << 1)


def _mislabelled(path: Path, content: Content, syntax: str, coding: str) -> Shown:
    if coding == "jpeg":
        pixels = content.smooth("u1", 255)
        encapsulated(path, pixels, syntax, [jpeg(pixels[0])])
        return Shown(pixels, tolerance=4)
    pixels = content.noisy("u2", 0, 4095, shape=EVEN)
    stream = jpeg_lossless(pixels[0], _U12, predictor=1) if coding == "lossless" else jls(
        pixels[0], _U12
    )  # fmt: skip
    encapsulated(path, pixels, syntax, [stream], BitsStored=12)
    return Shown(pixels)


def _frames_differ(path: Path, content: Content, syntax: str) -> Shown:
    pixels = np.concatenate(
        [content.noisy("u2", 0, 65535, shape=EVEN), content.noisy("u2", 0, 4095, shape=EVEN)]
    )
    encode = jls if syntax == f"{P}.4.80" else j2k
    frames = [encode(pixels[0], _U16), encode(pixels[1], _U12)]
    encapsulated(path, pixels, syntax, frames)
    return Shown(pixels)


def _lossless_cells(path: Path, content: Content, kind: str, allocated: int) -> Shown:
    """Lossless JPEG of other cells than BitsAllocated says."""
    chosen = KINDS[kind]
    pixels = content.noisy(chosen.dtype, chosen.low, chosen.high, shape=EVEN, colour=chosen.colour)
    stream = jpeg_lossless(pixels[0], chosen, predictor=1)
    stored = min(chosen.bits, allocated)
    encapsulated(path, pixels, f"{P}.4.70", [stream], BitsAllocated=allocated, BitsStored=stored)
    return Shown(pixels)


def _garbage_behind(path: Path, content: Content, syntax: str, coding: str) -> Shown:
    """A codestream with other bytes behind its end marker, as some encoders leave them."""
    pixels = content.smooth("u1", 255)
    kind = KINDS["u8"]
    stream = _CODINGS[coding](pixels[0], kind)
    encapsulated(path, pixels, syntax, [stream + b"left\xffbehind"])
    return Shown(pixels, tolerance=4 if coding == "jpeg" else 0)


def _wide_j2k(path: Path, content: Content) -> Shown:
    pixels = content.noisy("u4", 0, (1 << 20) - 1, shape=EVEN)
    stream = imagecodecs.jpeg2k_encode(
        pixels[0], level=0, reversible=True, codecformat="J2K", bitspersample=20, resolutions=3
    )
    encapsulated(path, pixels, f"{P}.4.90", [bytes(stream)], BitsStored=20)
    return Shown(pixels)


def _padded(path: Path, content: Content, length: int) -> Shown:
    pixels = content.noisy("u2", 0, 65535, shape=EVEN)
    ds = put_native(describe(pixels), pixels)
    ds.PixelData += bytes(length)
    save(path, ds, EXPLICIT)
    return Shown(pixels)


def _senseless(
    path: Path, content: Content, kind: str, changes: dict[str, Any], frames: int
) -> Fails:
    chosen = KINDS[kind]
    pixels = content.noisy(
        chosen.dtype, chosen.low, chosen.high, shape=EVEN, colour=chosen.colour, frames=frames
    )
    native(path, pixels, **changes)
    if frames > 1:
        whole = path.read_bytes()
        path.write_bytes(whole.replace(b"(\0\x08\0IS\x02\x002 ", b"(\0\x08\0IS\x02\x001 "))
    return _SENSELESS


def _64_bits(path: Path, content: Content) -> Fails:
    native(path, content.noisy("u8", 0, 1 << 40))
    return Fails(frozenset({ErrorCode.UNSUPPORTED_SYNTAX}))


_CODINGS: dict[str, Callable[[np.ndarray, Kind], bytes]] = {
    "jpeg": lambda frame, _: jpeg(frame),
    "lossless": partial(jpeg_lossless, predictor=1),
    "jls": jls,
    "j2k": j2k,
    "htj2k": htj2k,
}
_SENSELESS_CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "colour-called-grey": ("rgb8", {"PhotometricInterpretation": "MONOCHROME2"}, 1),
    "grey-called-colour": ("u8", {"PhotometricInterpretation": "RGB"}, 1),
    "unlabelled": ("u8", {"PhotometricInterpretation": None}, 1),
    "palette-without-tables": ("u8", {"PhotometricInterpretation": "PALETTE COLOR"}, 1),
    "more-frames": ("u8", {}, 2),
    "full-called-subsampled": ("rgb8", {"PhotometricInterpretation": "YBR_FULL_422"}, 1),
}


def cases() -> Iterator[Case]:
    yield Case("oddity-scans", _scans)
    for syntax in (f"{P}.4.57", f"{P}.4.70"):
        yield Case(
            f"oddity-point-transform-{syntax[-2:]}", partial(_point_transform, syntax=syntax)
        )
    for number, coding in ((50, "lossless"), (70, "jpeg"), (80, "jpeg"), (80, "lossless"),
                           (57, "jls"), (51, "lossless")):  # fmt: skip
        yield Case(f"oddity-{coding}-called-{number}",
                   partial(_mislabelled, syntax=f"{P}.4.{number}", coding=coding))  # fmt: skip
    for number in (80, 90):
        yield Case(f"oddity-frames-differ-{number}",
                   partial(_frames_differ, syntax=f"{P}.4.{number}"))  # fmt: skip
    for number, coding in ((50, "jpeg"), (51, "jpeg"), (57, "lossless"), (70, "lossless"),
                           (80, "jls"), (90, "j2k"), (201, "htj2k")):  # fmt: skip
        yield Case(f"oddity-garbage-behind-{number}",
                   partial(_garbage_behind, syntax=f"{P}.4.{number}", coding=coding))  # fmt: skip
    yield Case("oddity-wide-j2k", _wide_j2k)
    for kind, allocated in (("rgb8", 16), ("u8", 32), ("u16", 8)):
        yield Case(f"oddity-lossless-cells-{kind}-{allocated}",
                   partial(_lossless_cells, kind=kind, allocated=allocated))  # fmt: skip
    for length in (2, 8, 512):
        yield Case(f"oddity-padded-{length}", partial(_padded, length=length))
    for name, (kind, changes, frames) in _SENSELESS_CASES.items():
        yield Case(f"oddity-{name}", partial(_senseless, kind=kind, changes=changes, frames=frames))
    yield Case("oddity-64-bits", _64_bits)
