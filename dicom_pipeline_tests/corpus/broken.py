"""Damaged objects of every codec: cut short, filled with garbage, or holding what they deny."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np

from dicom_pipeline.imaging.outcomes import ErrorCode
from dicom_pipeline_tests.corpus.cases import EVEN, KINDS, Case, Content, Fails
from dicom_pipeline_tests.corpus.lossless import deflated, htj2k, j2k, jls, jpeg_lossless, jxl, rle
from dicom_pipeline_tests.corpus.lossy import jpeg, ycbcr
from dicom_pipeline_tests.corpus.objects import describe, put_frames, put_native, save
from dicom_pipeline_tests.imaging.images import EXPLICIT, P

_U12, _RGB = KINDS["u12"], KINDS["rgb8"]
_DAMAGED = frozenset({ErrorCode.TRUNCATED, ErrorCode.DECODER_ERROR, ErrorCode.UNREADABLE_OBJECT})

# name: (transfer syntax, encoder, kind)
CODECS: dict[str, tuple[str, Callable[[np.ndarray], bytes], str]] = {
    "jpeg": (f"{P}.4.50", jpeg, "u8"),
    "jpeg-colour": (f"{P}.4.50", ycbcr, "rgb8"),
    "extended": (f"{P}.4.51", partial(jpeg, bitspersample=12), "u12"),
    "lossless": (f"{P}.4.57", lambda f: jpeg_lossless(f, _U12, predictor=6), "u12"),
    "lossless-sv1": (f"{P}.4.70", lambda f: jpeg_lossless(f, _U12, predictor=1), "u12"),
    "lossless-colour": (f"{P}.4.70", lambda f: jpeg_lossless(f, _RGB, predictor=1), "rgb8"),
    "jls": (f"{P}.4.80", lambda f: jls(f, _U12), "u12"),
    "jls-colour": (f"{P}.4.81", lambda f: jls(f, _RGB), "rgb8"),
    "j2k": (f"{P}.4.90", lambda f: j2k(f, _U12), "u12"),
    "j2k-colour": (f"{P}.4.91", lambda f: j2k(f, _RGB), "rgb8"),
    "htj2k": (f"{P}.4.201", lambda f: htj2k(f, _U12), "u12"),
    "htj2k-colour": (f"{P}.4.203", lambda f: htj2k(f, _RGB, mct=True), "rgb8"),
    "jxl": (f"{P}.4.110", lambda f: jxl(f, _U12), "u12"),
    "rle": (f"{P}.5", lambda f: rle(f, _U12), "u12"),
    "deflated-frame": (f"{P}.8.1", lambda f: deflated(f, _U12), "u12"),
    "encapsulated": (f"{P}.1.98", lambda f: f.tobytes(), "u12"),
}


def _half(stream: bytes, _content: Content) -> bytes:
    return stream[: len(stream) // 2]


def _without_the_end(stream: bytes, _content: Content) -> bytes:
    return stream[: len(stream) * 9 // 10]


def _header_alone(stream: bytes, _content: Content) -> bytes:
    return stream[:24]


def _garbage(stream: bytes, content: Content) -> bytes:
    return content.integers(0, 256, (len(stream),)).astype("u1").tobytes()


def _garbage_inside(stream: bytes, content: Content) -> bytes:
    """A sound beginning, then noise, without an end."""
    half = len(stream) // 2
    return stream[:half] + content.integers(0, 128, (len(stream) - half,)).astype("u1").tobytes()


DAMAGE = {
    "half": _half,
    "without-the-end": _without_the_end,
    "header-alone": _header_alone,
    "garbage": _garbage,
    "garbage-inside": _garbage_inside,
}
_UNSEEN = {
    # Bytes that any decoder must take for pixels: nothing in them can be wrong.
    "encapsulated": {"garbage", "garbage-inside"},
    "rle": {"garbage-inside"},
    "jxl": {"garbage-inside"},
    "deflated-frame": {"garbage-inside"},
}


def _damaged(path: Path, content: Content, codec: str, damage: str, frames: int) -> Fails:
    syntax, encode, kind = CODECS[codec]
    chosen = KINDS[kind]
    pixels = content.noisy(
        chosen.dtype, chosen.low, chosen.high, shape=EVEN, colour=chosen.colour, frames=frames
    )
    streams = [encode(frame) for frame in pixels]
    streams[-1] = DAMAGE[damage](streams[-1], content)
    ds = describe(pixels, **chosen.attributes)
    save(path, put_frames(ds, streams), syntax)
    return Fails(_DAMAGED)


def _native_cut(path: Path, content: Content, *, declared: bool) -> Fails:
    """Pixel data that ends early: by its length, or by the file's."""
    pixels = content.noisy("u2", 0, 65535, shape=EVEN)
    ds = describe(pixels)
    if declared:
        ds.add_new("PixelData", "OW", pixels.tobytes()[:-200])
        save(path, ds, EXPLICIT)
    else:
        save(path, put_native(ds, pixels), EXPLICIT)
        path.write_bytes(path.read_bytes()[:-200])
    return Fails(frozenset({ErrorCode.TRUNCATED, ErrorCode.UNREADABLE_OBJECT}))


def _frames_missing(path: Path, content: Content, codec: str) -> Fails:
    syntax, encode, kind = CODECS[codec]
    chosen = KINDS[kind]
    pixels = content.noisy(
        chosen.dtype, chosen.low, chosen.high, shape=EVEN, colour=chosen.colour, frames=3
    )
    ds = describe(pixels, **chosen.attributes)
    save(path, put_frames(ds, [encode(frame) for frame in pixels[:2]]), syntax)
    return Fails(_DAMAGED)


def _empty(path: Path, content: Content, syntax: str) -> Fails:
    ds = describe(content.noisy("u1", 0, 255))
    ds.add_new("PixelData", "OB", b"")
    save(path, ds, syntax)
    return Fails(_DAMAGED)


def cases() -> Iterator[Case]:
    for codec in CODECS:
        for damage in DAMAGE:
            if damage in _UNSEEN.get(codec, ()):
                continue
            for frames in (1, 2):
                yield Case(
                    f"broken-{codec}-{damage}" + ("-frames" if frames > 1 else ""),
                    partial(_damaged, codec=codec, damage=damage, frames=frames),
                    core=frames == 1,
                )
        yield Case(
            f"broken-{codec}-frames-missing", partial(_frames_missing, codec=codec), core=False
        )
    for declared in (False, True):
        yield Case(f"broken-native-cut-{declared}".lower(), partial(_native_cut, declared=declared))
    for name, syntax in (("native", EXPLICIT), ("jpeg", f"{P}.4.50")):
        yield Case(f"broken-{name}-empty", partial(_empty, syntax=syntax))
