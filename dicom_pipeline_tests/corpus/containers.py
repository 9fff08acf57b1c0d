"""Sound pixels in files that parsers stumble over, and fragments cut in every way."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from dicom_pipeline_tests.corpus.cases import EVEN, KINDS, Case, Content, Shown
from dicom_pipeline_tests.corpus.lossless import deflated, htj2k, j2k, jls, jpeg_lossless, jxl, rle
from dicom_pipeline_tests.corpus.lossy import jpeg
from dicom_pipeline_tests.corpus.objects import Offsets, describe, put_frames, put_native, save
from dicom_pipeline_tests.imaging.images import BIG_ENDIAN, EXPLICIT, IMPLICIT, P

Change = Callable[[bytes], bytes]
_META_AT = 132
_PATIENT_NAME = b"\x10\x00\x10\x00"


def _start(whole: bytes) -> int:
    """Where the data set begins."""
    return _META_AT + 12 + int.from_bytes(whole[_META_AT + 8 : _META_AT + 12], "little")


def without_meta_length(whole: bytes) -> bytes:
    return whole[:_META_AT] + whole[_META_AT + 12 :]


def without_meta(whole: bytes) -> bytes:
    return whole[_start(whole) :]


def wrong_meta_length(whole: bytes) -> bytes:
    return whole[: _META_AT + 8] + b"\x04\0\0\0" + whole[_META_AT + 12 :]


def _before_name(element: bytes, whole: bytes) -> bytes:
    at = whole.index(_PATIENT_NAME)
    return whole[:at] + element + whole[at:]


_ITEM = b"\x08\x00\x55\x11\x04\0\0\x001.2 "
_EXPLICIT_ITEM = b"\x08\x00\x55\x11UI\x04\x001.2 "
_ITEMS = b"\xfe\xff\x00\xe0\xff\xff\xff\xff%b\xfe\xff\x0d\xe0\0\0\0\0"
_END = b"\xfe\xff\xdd\xe0\0\0\0\0"
_SEQUENCE = b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff"

EXPLICIT_CHANGES: dict[str, Change] = {
    "sound": bytes,
    "without-meta-length": without_meta_length,
    "wrong-meta-length": wrong_meta_length,
    "without-meta": without_meta,
    "un-undefined": partial(
        _before_name, b"\x08\x00\x40\x11UN\0\0\xff\xff\xff\xff" + _ITEMS % _ITEM + _END),
    "un-defined-sequence": partial(
        _before_name, b"\x08\x00\x40\x11UN\0\0\x14\0\0\0\xfe\xff\x00\xe0\x0c\0\0\0" + _ITEM),
    "private-un-undefined": partial(
        _before_name, b"\x09\x00\x10\x00LO\x04\0TEST"
        b"\x09\x00\x01\x10UN\0\0\xff\xff\xff\xff" + _ITEMS % _ITEM + _END),
    "sequence-undefined": partial(_before_name, _SEQUENCE + _ITEMS % _EXPLICIT_ITEM + _END),
    "sequence-empty": partial(_before_name, _SEQUENCE + _END),
    "sequence-empty-item": partial(_before_name, _SEQUENCE + _ITEMS % b"" + _END),
    "unknown-vr": partial(_before_name, b"\x08\x00\x80\x00ZZ\x04\0Some"),
    "group-lengths": partial(_before_name, b"\x10\x00\x00\x00UL\x04\0\0\x01\0\0"),
    "odd-length": partial(_before_name, b"\x08\x00\x80\x00LO\x05\0Place"),
    "trailing-padding": lambda whole: whole + b"\xfc\xff\xfc\xffOB\0\0\x08\0\0\0" + bytes(8),
    "trailing-zeros": lambda whole: whole + bytes(64),
    "trailing-odd": lambda whole: whole + b"\0\0\0",
    "trailing-twelve": lambda whole: whole + bytes(12),
    "long-text": partial(_before_name, b"\x08\x00\x81\x00ST\xfe\xff" + b"x" * 0xFFFE),
    "ob-in-short-form": partial(_before_name, b"\x09\x00\x10\x00LO\x04\0TEST"),
    "bad-date": partial(_before_name, b"\x08\x00\x20\x00DA\x0a\x002020-01-01"),
    "bad-number": partial(_before_name, b"\x08\x00\x54\x11DS\x04\0abc "),
    "gb18030": partial(
        _before_name, b"\x08\x00\x80\x00LO\x04\0\xd6\xd0\xb9\xfa"),
    "unknown-character-set": lambda whole: whole[: _start(whole)]
        + b"\x08\x00\x05\x00CS\x0a\0ISO IR 999" + whole[_start(whole) :],
    "empty-character-set": lambda whole: whole[: _start(whole)]
        + b"\x08\x00\x05\x00CS\0\0" + whole[_start(whole) :],
}  # fmt: skip


def _contained(
    path: Path, content: Content, change: Change, *, coded: bool, uid: str = EXPLICIT
) -> Shown:
    pixels = content.noisy("u2", 0, 65535, shape=EVEN)
    ds = describe(pixels)
    if coded:
        uid = f"{P}.4.80"
        put_frames(ds, [jls(pixels[0], KINDS["u16"])])
    else:
        put_native(ds, pixels, uid)
    save(path, ds, uid)
    path.write_bytes(change(path.read_bytes()))
    return Shown(pixels)


def _attributed(
    path: Path, content: Content, kind: str, changes: dict[str, Any], *, coded: bool
) -> Shown:
    """Attributes that are missing, or that stand in another form."""
    chosen = KINDS[kind]
    pixels = content.noisy(chosen.dtype, chosen.low, chosen.high, shape=EVEN, colour=chosen.colour)
    ds = describe(pixels, **chosen.attributes)
    for keyword, value in changes.items():
        if value is None:
            ds.pop(keyword, None)
        else:
            setattr(ds, keyword, value)
    if coded:
        put_frames(ds, [jls(pixels[0], chosen)])
    else:
        put_native(ds, pixels)
    save(path, ds, f"{P}.4.80" if coded else EXPLICIT)
    return Shown(pixels)


# name: (kind, attributes: None takes one away)
ATTRIBUTES: dict[str, tuple[str, dict[str, Any]]] = {
    "no-pixel-representation": ("u12", {"PixelRepresentation": None}),
    "no-planar-configuration": ("rgb8", {"PlanarConfiguration": None}),
    "no-sign-u16": ("u16", {"PixelRepresentation": None}),
    "no-sign-u8": ("u8", {"PixelRepresentation": None}),
    "no-sign-rgb8": ("rgb8", {"PixelRepresentation": None}),
    "no-high-bit": ("u12", {"HighBit": None}),
    "no-bits-stored": ("u16", {"BitsStored": None}),
    "no-samples": ("u16", {"SamplesPerPixel": None}),
    "no-patient": ("u16", {"PatientName": None, "PatientID": None}),
    "no-series": ("u16", {"SeriesInstanceUID": None, "StudyInstanceUID": None}),
    "one-frame": ("u16", {"NumberOfFrames": 1}),
    "empty-frames": ("u16", {"NumberOfFrames": ""}),
    "grey-with-planar": ("u16", {"PlanarConfiguration": 0}),
    "rescaled": ("u12", {"RescaleSlope": "2", "RescaleIntercept": "-1024"}),
    "rescaled-by-half": ("u12", {"RescaleSlope": "0.5", "RescaleIntercept": "0"}),
    "windowed": ("u12", {"WindowCenter": ["40", "400"], "WindowWidth": ["80", "2000"]}),
    "padded-value": ("i16", {"PixelPaddingValue": -2000}),
    "smallest": ("i16", {"SmallestImagePixelValue": -32768, "LargestImagePixelValue": 32767}),
}


def _with_icon(path: Path, content: Content) -> Shown:
    """An icon with pixel data of its own, which must not be taken for the image."""
    pixels = content.noisy("u2", 0, 65535, shape=EVEN)
    ds, icon = describe(pixels), Dataset()
    icon.Rows, icon.Columns, icon.SamplesPerPixel = 4, 4, 1
    icon.PhotometricInterpretation = "MONOCHROME2"
    icon.BitsAllocated, icon.BitsStored, icon.HighBit, icon.PixelRepresentation = 8, 8, 7, 0
    icon.add_new("PixelData", "OB", bytes(range(16)))
    ds.IconImageSequence = Sequence([icon])
    save(path, put_native(ds, pixels), EXPLICIT)
    return Shown(pixels)


_U12, _RGB = KINDS["u12"], KINDS["rgb8"]
_FRAME_CODECS: dict[str, tuple[str, Callable[[np.ndarray], bytes], str]] = {
    "jpeg": (f"{P}.4.50", jpeg, "u8"),
    "lossless": (f"{P}.4.70", lambda f: jpeg_lossless(f, _U12, predictor=1), "u12"),
    "jls": (f"{P}.4.80", lambda f: jls(f, _U12), "u12"),
    "j2k": (f"{P}.4.90", lambda f: j2k(f, _U12), "u12"),
    "htj2k": (f"{P}.4.201", lambda f: htj2k(f, _U12), "u12"),
    "jxl": (f"{P}.4.110", lambda f: jxl(f, _U12), "u12"),
    "rle": (f"{P}.5", lambda f: rle(f, _U12), "u12"),
    "deflated-frame": (f"{P}.8.1", lambda f: deflated(f, _U12), "u12"),
    "encapsulated": (f"{P}.1.98", lambda f: f.tobytes(), "u12"),
}


def _fragmented(
    path: Path, content: Content, codec: str, offsets: Offsets, fragments: int, frames: int
) -> Shown:
    syntax, encode, kind = _FRAME_CODECS[codec]
    chosen = KINDS[kind]
    lossy = codec == "jpeg"
    pixels = (
        content.smooth("u1", 255, frames=frames)
        if lossy
        else content.noisy(chosen.dtype, chosen.low, chosen.high, shape=EVEN, frames=frames)
    )
    ds = describe(pixels, **chosen.attributes)
    put_frames(ds, [encode(one) for one in pixels], offsets=offsets, fragments=fragments)
    save(path, ds, syntax)
    return Shown(pixels, tolerance=4 if lossy else 0)


def _false_offsets(path: Path, content: Content, moved: int) -> Shown:
    """One fragment a frame, and a Basic Offset Table that points beside the second."""
    pixels = content.noisy("u2", 0, 4095, shape=EVEN, frames=2)
    ds = put_frames(describe(pixels, BitsStored=12), [jls(one, _U12) for one in pixels])
    value = bytearray(ds.PixelData)
    second = int.from_bytes(value[12:16], "little") + moved
    value[12:16] = second.to_bytes(4, "little")
    ds["PixelData"].value = bytes(value)
    save(path, ds, f"{P}.4.80")
    return Shown(pixels)


def _containers() -> Iterator[Case]:
    for name, change in EXPLICIT_CHANGES.items():
        for coded in (False, True):
            if coded and name == "without-meta":
                continue  # nothing says how the pixels are coded
            yield Case(
                f"container-{name}" + ("-coded" if coded else ""),
                partial(_contained, change=change, coded=coded), core=not coded,
            )  # fmt: skip
    for syntax, uid in (("implicit", IMPLICIT), ("big-endian", BIG_ENDIAN)):
        for name in ("sound", "without-meta-length", "trailing-zeros"):
            yield Case(
                f"container-{syntax}-{name}",
                partial(_contained, change=EXPLICIT_CHANGES[name], coded=False, uid=uid),
            )


def _attributes() -> Iterator[Case]:
    for name, (kind, changes) in ATTRIBUTES.items():
        for coded in (False, True):
            yield Case(
                f"attributes-{name}" + ("-coded" if coded else ""),
                partial(_attributed, kind=kind, changes=changes, coded=coded), core=not coded,
            )  # fmt: skip
    yield Case("attributes-with-icon", _with_icon)


def _fragments() -> Iterator[Case]:
    for codec, offsets, fragments, frames in product(
        _FRAME_CODECS, ("basic", "extended", "none"), (1, 3), (1, 3)
    ):
        nothing_tells = offsets == "none" and fragments > 1 and frames > 1
        if codec in {"encapsulated", "deflated-frame", "rle"} and fragments > 1:
            continue  # PS3.5 A.4.2, A.4.11: one fragment a frame
        if codec == "jxl" and nothing_tells:
            continue  # where a frame begins
        yield Case(
            f"fragments-{codec}-{offsets}-{fragments}-of-{frames}",
            partial(_fragmented, codec=codec, offsets=offsets, fragments=fragments, frames=frames),
            core=codec in {"jls", "jpeg", "rle"},
        )
    for moved in (2, 1 << 20):
        yield Case(f"fragments-false-offsets-{moved}", partial(_false_offsets, moved=moved))


def cases() -> Iterator[Case]:
    yield from _containers()
    yield from _attributes()
    yield from _fragments()
