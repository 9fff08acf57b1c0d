"""Elements that change with the pixels: embedded overlays, segmented palettes, padding values."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from dicom_pipeline.imaging.decoding import stored_cells
from dicom_pipeline.imaging.image import Image
from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.samples import Pixels

_OVERLAY_GROUPS: Final = range(0x6000, 0x6020, 2)
_BITS_ALLOCATED, _BIT_POSITION, _FRAMES, _DATA = 0x0100, 0x0102, 0x0015, 0x3000
_LEVELS: Final = 256
_COLOURS: Final = ("Red", "Green", "Blue")
_PIXEL_VALUES: Final = (
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
)
_MAPPED: Final = ("RealWorldValueFirstValueMapped", "RealWorldValueLastValueMapped")


def move_embedded_overlays(source: DicomObject, image: Image, copy: Dataset) -> None:
    """Put overlays in unused bits of pixel cells into OverlayData (PS3.5 8.1.2)."""
    bits = {}
    for group in _OVERLAY_GROUPS:
        position = source.dataset.get((group, _BIT_POSITION))
        if position is None or (group, _DATA) in source.dataset:
            continue
        bit = int(position.value or 0)
        in_value = image.high_bit - image.bits_stored < bit <= image.high_bit
        if not in_value and bit < image.bits_allocated:
            bits[group] = bit
    for group, packed in _planes(source, image, bits).items():
        copy.add_new((group, _BITS_ALLOCATED), "US", 1)
        copy.add_new((group, _BIT_POSITION), "US", 0)
        if image.frames > 1:
            copy.add_new((group, _FRAMES), "IS", image.frames)
        copy.add_new((group, _DATA), "OW", packed + b"\0" * (len(packed) % 2))


def _planes(source: DicomObject, image: Image, bits: dict[int, int]) -> dict[int, bytes]:
    """The given bit of all cells for each overlay group, packed, frames without a gap between."""
    if not bits:
        return {}
    packed = {group: bytearray() for group in bits}
    # A frame may end inside a byte: its last bits wait for those of the next one.
    rest = {group: np.empty(0, np.uint8) for group in bits}
    for cells in stored_cells(source, image):
        for group, bit in bits.items():
            plane = np.concatenate((rest[group], (cells >> bit & 1).astype(np.uint8).ravel()))
            whole = len(plane) // 8 * 8
            packed[group] += np.packbits(plane[:whole], bitorder="little").tobytes()
            rest[group] = plane[whole:]
    return {
        group: bytes(packed[group]) + np.packbits(rest[group], bitorder="little").tobytes()
        for group in bits
    }


def write_plain_palettes(copy: Dataset) -> None:
    """Write lookup tables whole and in one form for all colours (PS3.3 C.7.9.1, C.7.9.2).

    Up to 256 colours get tables of bytes, more get words whose two bytes are equal: viewers show
    the upper 8 bits, and guess the width of an entry by the values and the length of the tables.

    Args:
        copy: a data set in little endian; without a palette it is left as it is.
    """
    if "RedPaletteColorLookupTableDescriptor" not in copy:
        return
    entries, first, _ = copy.RedPaletteColorLookupTableDescriptor
    entries = entries or 1 << 16
    colours = _colours(copy, entries, first)
    if colours.max() >= _LEVELS:
        colours = colours >> 8
    if entries % 2 and entries < _LEVELS:
        colours, entries = np.concatenate([colours, colours[-1:]]), entries + 1
    in_bytes = entries <= _LEVELS
    bits, dtype, factor = (8, "u1", 1) if in_bytes else (16, "<u2", 257)
    tables = (colours.astype(np.uint16) * factor).astype(dtype)
    for index, colour in enumerate(_COLOURS):
        copy.pop(f"Segmented{colour}PaletteColorLookupTableData", None)
        descriptor = f"{colour}PaletteColorLookupTableDescriptor"
        copy[descriptor].value = [entries % (1 << 16), first, bits]
        value = np.ascontiguousarray(tables[:, index]).tobytes()
        copy.add_new(f"{colour}PaletteColorLookupTableData", "OW", value)


def _colours(dataset: Dataset, entries: int, first: int) -> Pixels:
    """(entries, 3) as they stand in the tables: segmented, or whole with a byte of padding."""
    if "SegmentedRedPaletteColorLookupTableData" in dataset:
        return apply_color_lut(np.arange(first, first + entries).astype(np.uint16), dataset)
    columns = []
    for colour in _COLOURS:
        table = bytes(dataset[f"{colour}PaletteColorLookupTableData"].value)
        dtype = "<u2" if len(table) >= 2 * entries else "u1"
        columns.append(np.frombuffer(table, dtype)[:entries])
    return np.stack(columns, axis=-1)


def promote_pixel_values(copy: Dataset) -> None:
    """Give elements that hold signed 8-bit pixel values the 16-bit sign of the promoted pixels."""
    for keyword in _PIXEL_VALUES:
        if keyword in copy:
            value = copy[keyword].value
            if isinstance(value, int):
                del copy[keyword]
                copy.add_new(keyword, "SS", _as_signed_byte(value))
    for keyword in ("ModalityLUTSequence", "VOILUTSequence"):
        for item in copy.get(keyword) or ():
            entries, first, bits = item.LUTDescriptor
            del item["LUTDescriptor"]
            item.add_new("LUTDescriptor", "SS", [entries, _as_signed_byte(first), bits])
    for groups in (copy, *_functional_groups(copy)):
        for item in groups.get("RealWorldValueMappingSequence") or ():
            for keyword in _MAPPED:
                if isinstance(value := item.get(keyword), int):
                    del item[keyword]
                    item.add_new(keyword, "SS", _as_signed_byte(value))


def _functional_groups(copy: Dataset) -> Iterator[Dataset]:
    """The items that hold the macros of all frames and of each (PS3.3 C.7.6.16)."""
    yield from copy.get("SharedFunctionalGroupsSequence") or ()
    yield from copy.get("PerFrameFunctionalGroupsSequence") or ()


def _as_signed_byte(value: int) -> int:
    """-128 … 127 for the two's complement of 8 bits, or of 16 bits, that ``value`` may be."""
    return (value + 0x80) % 0x100 - 0x80
