"""Inputs that a careless or malicious sender may send, and what must become of each."""

import struct
import zlib
from typing import NamedTuple

from pydicom.uid import (
    BasicTextSRStorage,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
    RTStructureSetStorage,
    TwelveLeadECGWaveformStorage,
)

UNDEFINED = 0xFFFFFFFF
LONG_VRS = frozenset({"OB", "OW", "SQ", "UN", "UT"})
GIGABYTE = 1 << 30
REFUSED = "refused"
STORED = "stored"


class Hostile(NamedTuple):
    """One object as it is sent, and what is expected of it."""

    name: str
    data_set: bytes
    sop_instance_uid: str
    expected: str = STORED
    """`STORED`, or `REFUSED` with a status."""
    status: int | None = None
    """The status's high byte (0xC0 for its whole family) or the whole status."""
    error_code: str | None = None
    """The rendition's error code."""
    finding: str | None = None
    """A part of one of the findings in the object's row."""
    sop_class_uid: str = CTImageStorage
    abstract_syntax: str | None = None
    """The context's, where it is another than the command's class."""
    syntax: str = ExplicitVRLittleEndian


def element(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    """An Explicit VR LE element; ``length`` replaces the true one."""
    value += b"\0" * (len(value) % 2) if vr in {"UI", "OB"} else b" " * (len(value) % 2)
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    head += struct.pack("<HI", 0, size) if vr in LONG_VRS else struct.pack("<H", size)
    return head + value


def us(number: int) -> bytes:
    return struct.pack("<H", number)


def uid_of(name: str) -> str:
    return f"1.2.826.0.1.3680043.8.498.{zlib.crc32(name.encode())}"


def data_set(sop_uid: str, *, without=(), **changes) -> bytes:
    """A CT slice of 8 × 8 pixels with elements replaced, added or left out.

    ``changes``: ``t<tag in hex>`` to a whole encoded element.
    """
    elements = {
        0x00080016: element(0x00080016, "UI", CTImageStorage.encode()),
        0x00080018: element(0x00080018, "UI", sop_uid.encode()),
        0x00080020: element(0x00080020, "DA", b"20260131"),
        0x00080060: element(0x00080060, "CS", b"CT"),
        0x00100010: element(0x00100010, "PN", b"Hostile^Input"),
        0x00100020: element(0x00100020, "LO", b"H1"),
        0x0020000D: element(0x0020000D, "UI", b"1.2.826.0.1.3680043.8.498.1"),
        0x0020000E: element(0x0020000E, "UI", b"1.2.826.0.1.3680043.8.498.2"),
        0x00280002: element(0x00280002, "US", us(1)),
        0x00280004: element(0x00280004, "CS", b"MONOCHROME2"),
        0x00280010: element(0x00280010, "US", us(8)),
        0x00280011: element(0x00280011, "US", us(8)),
        0x00280100: element(0x00280100, "US", us(16)),
        0x00280101: element(0x00280101, "US", us(12)),
        0x00280102: element(0x00280102, "US", us(11)),
        0x00280103: element(0x00280103, "US", us(0)),
        0x7FE00010: element(0x7FE00010, "OW", bytes(128)),
    }
    elements |= {int(name[1:], 16): encoded for name, encoded in changes.items()}
    return b"".join(elements[tag] for tag in sorted(elements) if tag not in without)


def nested(tag: int, depth: int) -> bytes:
    """``depth`` sequences of undefined length, one inside the other, never closed properly."""
    opening = struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, b"SQ", 0, UNDEFINED) + struct.pack(
        "<HHI", 0xFFFE, 0xE000, UNDEFINED
    )
    closing = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return opening * depth + closing * depth


def encapsulated(*fragments: bytes, table: bytes = b"") -> bytes:
    """A PixelData element of fragments."""
    items = b"".join(
        struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in (table, *fragments)
    )
    head = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, UNDEFINED)
    return head + items + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)


def with_uid(name: str, uid: bytes, **expected) -> Hostile:
    """A SOP Instance UID that cannot be one, in command and data set alike."""
    encoded = element(0x00080018, "UI", uid)
    return Hostile(name, data_set("", t00080018=encoded), uid.decode(), **expected)


def plain(name: str, *, without=(), sop_class_uid=CTImageStorage, elements=None, **expected):
    """An object with a good UID of its own and the given elements."""
    uid = uid_of(name)
    changes = {f"t{tag:08x}": encoded for tag, encoded in (elements or {}).items()}
    if sop_class_uid != CTImageStorage:
        changes["t00080016"] = element(0x00080016, "UI", sop_class_uid.encode())
    content = data_set(uid, without=without, **changes)
    return Hostile(name, content, uid, sop_class_uid=sop_class_uid, **expected)


def document(name: str, sop_class_uid: str) -> Hostile:
    """An object without pixels."""
    return plain(name, without=IMAGE_TAGS, sop_class_uid=sop_class_uid)


IMAGE_TAGS = {
    *(0x00280000 + element for element in (2, 4, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103)),
    0x7FE00010,
}


def compressed(name: str, syntax: str, pixels: bytes, **expected) -> Hostile:
    """8-bit pixel data under a compressed transfer syntax."""
    return plain(
        name,
        elements={
            0x00280100: element(0x00280100, "US", us(8)),
            0x00280101: element(0x00280101, "US", us(8)),
            0x00280102: element(0x00280102, "US", us(7)),
            0x7FE00010: pixels,
        },
        **expected,
    )._replace(syntax=syntax)


def uid_element(tag: int, value: bytes) -> dict[int, bytes]:
    return {tag: element(tag, "UI", value)}


def text(tag: int, vr: str, value: bytes) -> dict[int, bytes]:
    return {tag: element(tag, vr, value)}


STUDY, SERIES = 0x0020000D, 0x0020000E
SAME = uid_of("the same UID with other pixels")
DIFFERENT = uid_of("command and data set differ in their instance UID")

CASES = [
    # UIDs that would leave the storage root, or are none
    with_uid("SOP UID climbs out", b"../../../etc/passwd", expected=REFUSED, status=0x0117),
    with_uid("SOP UID is an absolute path", b"/etc/passwd", expected=REFUSED, status=0x0117),
    with_uid("SOP UID of 65 characters", b"1." * 32 + b"1", expected=REFUSED, status=0x0117),
    with_uid("SOP UID with letters", b"1.2.x", expected=REFUSED, status=0x0117),
    with_uid("SOP UID with a line end", b"1.2\n.3", expected=REFUSED, status=0x0117),
    with_uid("SOP UID of dots", b"..", expected=REFUSED, status=0x0117),
    plain(
        "Study UID climbs out",
        elements=uid_element(STUDY, b"../../x"),
        expected=REFUSED,
        status=0xC0,
    ),
    plain(
        "Study UID of 65 characters",
        elements=uid_element(STUDY, b"1." * 32 + b"1"),
        expected=REFUSED,
        status=0xC0,
    ),
    plain("Study UID is empty", elements=uid_element(STUDY, b""), expected=REFUSED, status=0xC0),
    plain("Study UID is missing", without=[STUDY], expected=REFUSED, status=0xC0),
    plain(
        "Series UID climbs out",
        elements=uid_element(SERIES, b"../.."),
        expected=REFUSED,
        status=0xC0,
    ),
    plain("Series UID is missing", without=[SERIES], expected=REFUSED, status=0xC0),
    plain(
        "Study UID with a leading zero",
        elements=uid_element(STUDY, b"1.02.3"),
        finding="leading zero",
    ),
    # Command and data set
    plain(
        "command and data set differ in their class",
        elements=uid_element(0x00080016, b"1.2.840.10008.5.1.4.1.1.4"),
        expected=REFUSED,
        status=0xA9,
    ),
    Hostile(
        "command and data set differ in their instance UID",
        data_set("1.2.3.4"),
        DIFFERENT,
        REFUSED,
        0xA9,
    ),
    plain("a class that the context does not have", expected=REFUSED, status=0x0122)._replace(
        abstract_syntax="1.2.840.10008.5.1.4.1.1.4"
    ),
    # Not a data set
    Hostile("a data set of two bytes", b"\0\0", uid_of("empty"), REFUSED, 0xC0),
    Hostile("garbage", bytes(range(256)) * 40, uid_of("garbage"), REFUSED, 0xC0),
    Hostile(
        "cut off before the Study UID", data_set(uid_of("cut"))[:90], uid_of("cut"), REFUSED, 0xC0
    ),
    # Values
    plain(
        "a StudyDate that climbs out",
        elements=text(0x00080020, "DA", b"../../.."),
        finding="StudyDate",
    ),
    plain(
        "a StudyDate that is a range",
        elements=text(0x00080020, "DA", b"20260101-20260102"),
        finding="StudyDate",
    ),
    plain("text where a number belongs", elements=text(0x00280010, "LO", b"eight"), finding="Rows"),
    plain(
        "a number that is none", elements=text(0x00180050, "DS", b"NaN"), finding="SliceThickness"
    ),
    plain(
        "a name in GBK labelled ISO_IR 100",
        elements={
            **text(0x00080005, "CS", b"ISO_IR 100"),
            **text(0x00100010, "PN", "王^小东".encode("gbk")),
        },
    ),
    plain(
        "control characters and a path as PatientID",
        elements=text(0x00100020, "LO", b"../\x07\x1b[31m"),
    ),
    plain(
        "a PatientID of 10,000 characters",
        elements=text(0x00100020, "LO", b"9" * 10_000),
        finding="PatientID",
    ),
    plain(
        "a private tag of 10 MB",
        elements={
            **text(0x00990010, "LO", b"HOSTILE"),
            **text(0x00991001, "UN", b"x" * 10_000_000),
        },
        finding="left out",
    ),
    # Structure
    plain("100,000 nested sequence items", elements={0x00400275: nested(0x00400275, 100_000)}),
    plain(
        "100,000 nested items before the UIDs", elements={0x00081140: nested(0x00081140, 100_000)}
    ),
    plain(
        "3 GB declared in a private element of 100 kB",
        elements={
            0x00990010: element(0x00990010, "LO", b"HOSTILE"),
            0x00991001: element(0x00991001, "UN", b"x" * 100_000, length=3 * GIGABYTE),
        },
    ),
    plain(
        "3 GB declared before the UIDs",
        elements={0x00091001: element(0x00091001, "UN", b"x" * 100, length=3 * GIGABYTE)},
        expected=REFUSED,
        status=0xC0,
    ),
    plain(
        "3 GB declared for the pixels",
        elements={0x7FE00010: element(0x7FE00010, "OW", bytes(64), length=3 * GIGABYTE)},
        error_code="truncated",
    ),
    # Pixels
    plain(
        "pixels cut off",
        elements={0x7FE00010: element(0x7FE00010, "OW", bytes(64))},
        error_code="truncated",
    ),
    plain(
        "Rows × Columns of 8 GB",
        elements={
            0x00280010: element(0x00280010, "US", us(65535)),
            0x00280011: element(0x00280011, "US", us(65535)),
        },
        error_code="truncated",
    ),
    compressed(
        "Rows × Columns of 8 GB in a tiny JPEG 2000",
        JPEG2000Lossless,
        encapsulated(b"\xff\x4f\xff\x51" + bytes(64)),
    ),
    plain(
        "2 billion frames", elements=text(0x00280008, "IS", b"2000000000"), error_code="truncated"
    ),
    plain("a negative number of frames", elements=text(0x00280008, "IS", b"-1")),
    plain("no rows", elements={0x00280010: element(0x00280010, "US", us(0))}),
    plain("0 bits allocated", elements={0x00280100: element(0x00280100, "US", us(0))}),
    plain("pixels without a value", elements={0x7FE00010: element(0x7FE00010, "OW", b"")}),
    compressed("native pixels under JPEG", JPEGBaseline8Bit, element(0x7FE00010, "OB", bytes(64))),
    compressed("JPEG that is garbage", JPEGBaseline8Bit, encapsulated(b"\xff\xd8" + bytes(62))),
    compressed("JPEG-LS that is garbage", JPEGLSLossless, encapsulated(b"\xff\xd8\xff\xf7")),
    compressed("RLE that is garbage", RLELossless, encapsulated(bytes(64))),
    compressed(
        "an offset table that lies",
        RLELossless,
        encapsulated(bytes(64), table=struct.pack("<I", 0xFFFFFF00)),
    ),
    plain("fragments under a native syntax", elements={0x7FE00010: encapsulated(bytes(128))}),
    Hostile(
        "Implicit VR labelled Explicit",
        struct.pack("<HHI", 8, 0x16, 26) + CTImageStorage.encode() + b"\0",
        uid_of("implicit"),
        REFUSED,
        0xC0,
    ),
    # The same UID again
    Hostile("the same UID", data_set(SAME), SAME),
    Hostile(
        "the same UID with other pixels",
        data_set(SAME, t7fe00010=element(0x7FE00010, "OW", b"\1" * 128)),
        SAME,
    ),
    # No images
    document("a structured report", BasicTextSRStorage),
    document("a PDF", EncapsulatedPDFStorage),
    document("an RT structure set", RTStructureSetStorage),
    document("a waveform", TwelveLeadECGWaveformStorage),
]


def _bomb() -> Hostile:
    """1 MB that inflates to 1 GB, behind a good head."""
    uid = uid_of("bomb")
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    head = data_set(uid, without=[0x7FE00010])
    head += element(0x00991001, "UN", b"", length=GIGABYTE)
    content = deflate.compress(head)
    block = bytes(1 << 20)
    content += b"".join(deflate.compress(block) for _ in range(1 << 10)) + deflate.flush()
    return Hostile("a deflated data set of 1 GB in 1 MB", content, uid)._replace(
        syntax=DeflatedExplicitVRLittleEndian
    )


def all_cases() -> list[Hostile]:
    """Every case; made here because some are large."""
    return [*CASES, _bomb()]
