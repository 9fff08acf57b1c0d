"""Palettes: of 8 and 16 bits, whole and segmented, of every length and first value."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import imagecodecs
import numpy as np
from pydicom.dataset import Dataset

from dicom_pipeline_tests.corpus.cases import EVEN, KINDS, Case, Content, Shown
from dicom_pipeline_tests.corpus.lossless import deflated, jls, rle
from dicom_pipeline_tests.corpus.objects import describe, put_frames, put_native, save
from dicom_pipeline_tests.imaging.images import BIG_ENDIAN, EXPLICIT, IMPLICIT, P


class Table(NamedTuple):
    """A kind of palette."""

    entries: int
    bits: int
    """Of an entry, as the descriptor says."""
    first: int = 0
    shift: int = 8
    """Entries are colours of 8 bits moved up by so many bits."""
    red: int = 255
    """The strongest red."""


TABLES = {
    "16": Table(256, 16),
    "16-short": Table(100, 16),
    "16-odd": Table(99, 16),
    "16-first-10": Table(200, 16, first=10),
    "16-whole": Table(65536, 16),
    "16-without-red": Table(256, 16, red=0),
    "8": Table(256, 8, shift=0),
    "8-short": Table(100, 8, shift=0),
    "8-odd": Table(99, 8, shift=0),
    "8-first-10": Table(200, 8, first=10, shift=0),
    "8-long": Table(400, 8, shift=0),
    "8-without-red": Table(256, 8, shift=0, red=0),
}


def put_table(ds: Dataset, table: Table, content: Content, order: str) -> np.ndarray:
    """Add whole lookup tables; gives the colours, (entries, 3) of 8 bits."""
    colours = content.integers(0, 256, (table.entries, 3))
    colours[:, 0] = np.minimum(colours[:, 0], table.red)
    for index, colour in enumerate(("Red", "Green", "Blue")):
        descriptor = [table.entries % 65536, table.first, table.bits]
        ds.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", descriptor)
        entries = colours[:, index] << table.shift
        if table.shift and table.red:
            entries |= content.integers(0, 1 << table.shift, entries.shape)
        value = entries.astype(f"{order}u2" if table.bits == 16 else "u1").tobytes()
        value += b"\0" * (len(value) % 2)
        if table.bits == 8 and order == ">":
            value = np.frombuffer(value, "<u2").astype(">u2").tobytes()
        ds.add_new(f"{colour}PaletteColorLookupTableData", "OW", value)
    return colours.astype("u1")


def _indexed(
    path: Path, content: Content, table: Table, dtype: str, uid: str, frames: int
) -> Shown:
    top = min(table.first + table.entries - 1, np.iinfo(dtype).max)
    indices = content.noisy(dtype, table.first, top, shape=EVEN, frames=frames)
    ds = describe(indices, PhotometricInterpretation="PALETTE COLOR")
    colours = put_table(ds, table, content, ">" if uid == BIG_ENDIAN else "<")
    if uid in _CODED:
        put_frames(ds, [_CODED[uid](frame) for frame in indices])
    else:
        put_native(ds, indices, uid)
    save(path, ds, uid)
    return Shown(colours[indices.astype(int) - table.first])


_U8, _U16 = KINDS["u8"], KINDS["u16"]


def _kind(frame: np.ndarray) -> Any:
    return _U8 if frame.dtype.itemsize == 1 else _U16


_CODED = {
    f"{P}.5": lambda f: rle(f, _kind(f)),
    f"{P}.4.80": lambda f: jls(f, _kind(f)),
    f"{P}.4.90": lambda f: bytes(imagecodecs.jpeg2k_encode(
        f, level=0, reversible=True, codecformat="J2K", resolutions=3)),
    f"{P}.4.201": lambda f: bytes(imagecodecs.htj2k_encode(f, reversible=True, resolutions=2)),
    f"{P}.4.70": lambda f: bytes(imagecodecs.jpeg8_encode(
        f, lossless=True, predictor=1, bitspersample=f.dtype.itemsize * 8)),
    f"{P}.4.110": lambda f: bytes(imagecodecs.jpegxl_encode(f, lossless=True)),
    f"{P}.1.98": lambda f: f.tobytes(),
    f"{P}.8.1": lambda f: deflated(f, _kind(f)),
}  # fmt: skip
_NAMES = {
    EXPLICIT: "explicit", IMPLICIT: "implicit", BIG_ENDIAN: "big-endian", f"{P}.5": "rle",
    f"{P}.4.80": "jls", f"{P}.4.90": "j2k", f"{P}.4.201": "htj2k", f"{P}.4.70": "lossless",
    f"{P}.4.110": "jxl", f"{P}.1.98": "encapsulated", f"{P}.8.1": "deflated-frame",
    f"{P}.1.99": "deflated",
}  # fmt: skip


def _segmented(path: Path, content: Content, bits: int, first: int, uid: str) -> Shown:
    """One discrete segment, one line and one repetition of both (PS3.3 C.7.9.2)."""
    indices = content.noisy("u1", first, first + 127, shape=EVEN)
    ds = describe(indices, PhotometricInterpretation="PALETTE COLOR")
    colours = np.empty((128, 3), "u1")
    for index, colour in enumerate(("Red", "Green", "Blue")):
        start, end = (int(n) for n in content.integers(20, 200, (2,)))
        line = np.linspace(start, end, 33)[1:].round()
        discrete = content.integers(0, 256, (32,))
        discrete[-1] = start
        half = np.concatenate([discrete, line])
        colours[:, index] = np.concatenate([half, half])
        scale = 256 if bits == 16 else 1
        words = [0, 32, *(discrete * scale), 1, 32, end * scale]
        words += [2, 2, 0, 0] if bits == 16 else [2, 2, 0, 0, 0, 0]
        value = np.array(words).astype("<u2" if bits == 16 else "u1").tobytes()
        ds.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [128, first, bits])
        ds.add_new(
            f"Segmented{colour}PaletteColorLookupTableData", "OW", value + b"\0" * (len(value) % 2)
        )
    save(path, put_native(ds, indices, uid), uid)
    # The line is rounded by whoever expands it; shown are the upper 8 bits of each entry.
    return Shown(colours[indices.astype(int) - first], tolerance=1)


def cases() -> Iterator[Case]:
    for uid, syntax in _NAMES.items():
        for name, table in TABLES.items():
            for dtype in ("u1", "u2"):
                if dtype == "u1" and table.entries > 256:
                    continue
                core = uid == EXPLICIT or (name in {"16", "8"} and dtype == "u1")
                yield Case(
                    f"palette-{syntax}-{dtype}-{name}",
                    partial(_indexed, table=table, dtype=dtype, uid=uid, frames=1), core=core,
                )  # fmt: skip
        yield Case(
            f"palette-{syntax}-frames",
            partial(_indexed, table=TABLES["16"], dtype="u1", uid=uid, frames=3), core=False,
        )  # fmt: skip
    for bits in (8, 16):
        for first in (0, 5):
            yield Case(
                f"palette-segmented-{bits}-{first}",
                partial(_segmented, bits=bits, first=first, uid=EXPLICIT),
            )
