"""A data set written anew as Explicit VR Little Endian, with every value's bytes as they were.

Text is never decoded: a copy must not lose a broken character, nor one that a wrong
SpecificCharacterSet hides. Numbers are only turned from big to little endian.
"""

from typing import Final, cast

import numpy as np
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.hooks import raw_element_vr
from pydicom.sequence import Sequence
from pydicom.tag import BaseTag
from pydicom.valuerep import AMBIGUOUS_VR, BYTES_VR, STANDARD_VR, VR

_WIDTHS: Final = {
    **dict.fromkeys(("AT", "OW", "SS", "US"), 2),
    **dict.fromkeys(("FL", "OF", "OL", "SL", "UL"), 4),
    **dict.fromkeys(("FD", "OD", "OV", "SV", "UV"), 8),
}
"""Bytes of one number of each binary VR (PS3.5 7.3)."""
_PADDED_WITH_NUL: Final = frozenset({"UI", *BYTES_VR})
_SIGNATURES: Final = frozenset(
    {
        0xFFFAFFFA,  # DigitalSignaturesSequence: signed other bytes
        0x4FFE0001,  # MACParametersSequence
    }
)
_LEFT_OUT: Final = _SIGNATURES | frozenset(
    {
        0xFFFCFFFC,  # DataSetTrailingPadding
        0x7FE00001,  # ExtendedOffsetTable
        0x7FE00002,  # ExtendedOffsetTableLengths
        0x7FE00008,  # FloatPixelData
        0x7FE00009,  # DoubleFloatPixelData
        0x7FE00010,  # PixelData
    }
)
_FIRST_GROUP: Final = 0x0008


def without_pixels(source: Dataset) -> tuple[Dataset, bool]:
    """All elements but pixels and digital signatures, to be written as Explicit VR Little Endian.

    Private elements are kept. Sequences get defined lengths.

    Returns:
        the copy, and whether there were digital signatures, at whatever depth.
    """
    left_out: set[int] = set()
    copy = _copy(source, left_out, signed=source.get("PixelRepresentation", 0) == 1)
    return copy, not left_out.isdisjoint(_SIGNATURES)


def _copy(source: Dataset, left_out: set[int], *, signed: bool) -> Dataset:
    """The elements of a data set or an item; ``left_out`` gets the tags that are not copied."""
    copy = Dataset()
    for tag in source.keys():  # noqa: SIM118  iterating a data set would convert its elements
        if tag in _LEFT_OUT or tag.element == 0 or tag.group < _FIRST_GROUP:
            left_out.add(tag)
            continue
        copy[tag] = _copy_element(source, tag, left_out, signed=signed)
    # Says that raw elements are encoded as they will be written, so that they are not decoded.
    copy.set_original_encoding(
        is_implicit_vr=False,
        is_little_endian=True,
        character_encoding=copy._character_set,  # noqa: SLF001
    )
    return copy


def _copy_element(
    source: Dataset, tag: BaseTag, left_out: set[int], *, signed: bool
) -> DataElement | RawDataElement:
    element = cast("DataElement | RawDataElement", source.get_item(tag))
    vr = _vr(source, element, signed=signed)
    if vr == VR.SQ:
        items = cast("Sequence", source[tag].value or [])
        return DataElement(
            tag, VR.SQ, Sequence(_copy(item, left_out, signed=signed) for item in items)
        )
    if isinstance(element, DataElement):
        return element
    value = element.value or b""
    width = _WIDTHS.get(vr)
    if not element.is_little_endian and width:
        whole = len(value) // width * width
        swapped = np.frombuffer(value[:whole], f">u{width}").astype(f"<u{width}").tobytes()
        value = swapped + value[whole:]
    if len(value) % 2:
        value += b"\0" if vr in _PADDED_WITH_NUL else b" "
    return RawDataElement(tag, vr, len(value), value, 0, False, True)


def _vr(source: Dataset, element: DataElement | RawDataElement, *, signed: bool) -> str:
    """The VR to write, with a choice made where the dictionary leaves one (PS3.5 A.1)."""
    if isinstance(element, DataElement):
        vr = str(element.VR)
    else:
        found: dict[str, str] = {}
        raw_element_vr(element, found, ds=source)
        vr = str(found["VR"])
    if vr in STANDARD_VR:
        return vr
    if vr == VR.US_SS:
        return "SS" if signed else "US"
    return "OW" if vr in AMBIGUOUS_VR else "UN"
