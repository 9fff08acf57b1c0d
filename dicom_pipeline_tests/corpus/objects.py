"""Writing objects of the corpus: headers, native and encapsulated pixel data, offset tables."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended

from dicom_pipeline_tests.imaging.images import BIG_ENDIAN, EXPLICIT, P, header
from dicom_pipeline_tests.imaging.images import save as save_plain

GE_PRIVATE = "1.2.840.113619.5.2"
DEFLATED = f"{P}.1.99"
_META_LENGTH_AT = 128 + 4
_ITEM_HEADER = 8
Offsets = Literal["basic", "extended", "none"]


def save(path: Path, ds: Dataset, syntax: str) -> None:
    """Write a data set in any syntax; what follows the meta information may be deflated."""
    save_plain(path, ds, syntax)
    if syntax == DEFLATED:
        whole = path.read_bytes()
        length = int.from_bytes(whole[_META_LENGTH_AT + 8 : _META_LENGTH_AT + 12], "little")
        start = _META_LENGTH_AT + 12 + length
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        value = deflater.compress(whole[start:]) + deflater.flush()
        path.write_bytes(whole[:start] + value + b"\0" * (len(value) % 2))


def describe(pixels: np.ndarray, **attributes: Any) -> Dataset:
    """The header of an object with such pixels: (frames, rows, columns[, 3])."""
    ds = header(pixels[0], **attributes)
    if len(pixels) > 1:
        ds.NumberOfFrames = len(pixels)
    return ds


def put_native(
    ds: Dataset, cells: np.ndarray, syntax: str = EXPLICIT, *, vr: str | None = None
) -> Dataset:
    """Put cells into native pixel data in the byte order of the syntax."""
    order = ">" if syntax in {BIG_ENDIAN, GE_PRIVATE} else "<"
    value = cells.astype(cells.dtype.newbyteorder(order)).tobytes()
    vr = vr or ("OB" if cells.dtype.itemsize == 1 else "OW")
    ds.add_new("PixelData", vr, value + b"\0" * (len(value) % 2))
    return ds


def native(path: Path, cells: np.ndarray, syntax: str = EXPLICIT, **attributes: Any) -> None:
    save(path, put_native(describe(cells, **attributes), cells, syntax), syntax)


def put_frames(
    ds: Dataset, frames: Sequence[bytes], *, offsets: Offsets = "basic", fragments: int = 1
) -> Dataset:
    """Put codestreams into encapsulated pixel data."""
    if offsets == "extended":
        value, table, lengths = encapsulate_extended(list(frames))
        if fragments > 1:
            value = encapsulate(list(frames), fragments_per_frame=fragments, has_bot=False)
            more = np.arange(len(frames), dtype="<u8") * _ITEM_HEADER * (fragments - 1)
            table = (np.frombuffer(table, "<u8") + more).tobytes()
        ds.ExtendedOffsetTable, ds.ExtendedOffsetTableLengths = table, lengths
    else:
        value = encapsulate(list(frames), fragments_per_frame=fragments, has_bot=offsets == "basic")
    element = DataElement("PixelData", "OB", value)
    element.is_undefined_length = True
    ds[element.tag] = element
    return ds


def encapsulated(
    path: Path,
    pixels: np.ndarray,
    syntax: str,
    frames: Sequence[bytes],
    *,
    offsets: Offsets = "basic",
    fragments: int = 1,
    **attributes: Any,
) -> None:
    ds = describe(pixels, **attributes)
    save(path, put_frames(ds, frames, offsets=offsets, fragments=fragments), syntax)
