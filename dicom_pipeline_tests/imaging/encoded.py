"""DICOM files written byte by byte: what no toolkit would write must be readable too."""

import struct
from pathlib import Path

from pydicom.datadict import tag_for_keyword

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

_LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}


def element(tag: str | int, vr: str, value: bytes, *, length: int | None = None) -> bytes:
    """An element in explicit VR little endian; `length` lies about its value."""
    number = tag if isinstance(tag, int) else tag_for_keyword(tag)
    assert number is not None
    pad = b"" if len(value) % 2 == 0 else b"\0" if vr in {"UI", "OB", "UN"} else b" "
    value += pad
    length = len(value) if length is None else length
    head = struct.pack("<HH", number >> 16, number & 0xFFFF) + vr.encode()
    if vr in _LONG:
        return head + struct.pack("<HL", 0, length) + value
    return head + struct.pack("<H", length) + value


def implicit(tag: str | int, value: bytes, *, length: int | None = None) -> bytes:
    """An element in implicit VR little endian."""
    number = tag if isinstance(tag, int) else tag_for_keyword(tag)
    assert number is not None
    value += b" " * (len(value) % 2)
    length = len(value) if length is None else length
    return struct.pack("<HHL", number >> 16, number & 0xFFFF, length) + value


def item(*elements: bytes) -> bytes:
    content = b"".join(elements)
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


IDENTIFIERS = (
    element("SOPClassUID", "UI", b"1.2.840.10008.5.1.4.1.1.7"),
    element("SOPInstanceUID", "UI", b"1.2.3"),
    element("StudyInstanceUID", "UI", b"1.2"),
    element("SeriesInstanceUID", "UI", b"1.2.1"),
)


def part_10(dataset: bytes, syntax: str = EXPLICIT) -> bytes:
    meta = element("TransferSyntaxUID", "UI", syntax.encode())
    length = element("FileMetaInformationGroupLength", "UL", struct.pack("<L", len(meta)))
    return bytes(128) + b"DICM" + length + meta + dataset


def write(folder: Path, *elements: bytes, syntax: str = EXPLICIT) -> Path:
    """A file of `elements` and, unless they are there, the identifiers."""
    ordered = sorted({*IDENTIFIERS, *elements}, key=lambda one: struct.unpack("<HH", one[:4]))
    path = folder / "object.dcm"
    path.write_bytes(part_10(b"".join(ordered), syntax))
    return path
