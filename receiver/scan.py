"""Where the wanted values of a data set lie: found by its elements' headers, one after another.

Iterative, without recursion, pydicom, or a copy of what it skips. It takes hostile input: deep
nesting, lengths beyond the end, deflate bombs.
"""

import struct
import zlib
from typing import Final, NamedTuple

from dicom_pipeline.imaging.transfer_syntaxes import EXPLICIT_VR_BIG_ENDIAN
from dicom_pipeline.imaging.vrs import LONG_VRS, SHORT_VRS
from receiver.layout import LONGEST, Header, Layout
from receiver.syntaxes import DEFLATED, IMPLICIT

SPECIFIC_CHARACTER_SET: Final = 0x0008_0005
SOP_CLASS_UID: Final = 0x0008_0016
SOP_INSTANCE_UID: Final = 0x0008_0018
STUDY_DATE: Final = 0x0008_0020
ACCESSION_NUMBER: Final = 0x0008_0050
PATIENT_ID: Final = 0x0010_0020
STUDY_INSTANCE_UID: Final = 0x0020_000D
SERIES_INSTANCE_UID: Final = 0x0020_000E
NUMBER_OF_FRAMES: Final = 0x0028_0008

_WANTED: Final = frozenset(
    {
        SPECIFIC_CHARACTER_SET,
        SOP_CLASS_UID,
        SOP_INSTANCE_UID,
        STUDY_DATE,
        ACCESSION_NUMBER,
        PATIENT_ID,
        STUDY_INSTANCE_UID,
        SERIES_INSTANCE_UID,
        NUMBER_OF_FRAMES,
    }
)
_VALUE_BYTES: Final = 1024
"""No more of a value is looked at."""
_ELEMENTS: Final = 1_000_000
"""No more headers of elements and items are looked at: about a second's work."""
_INFLATED: Final = (1 << 18, 1 << 26)
"""How much of a deflated data set is inflated: first, and at most (bytes)."""

_PATIENCE: Final = 2

_DELIMITERS: Final = 0xFFFE
_ENDS: Final = frozenset({0xFFFE_E00D, 0xFFFE_E0DD})
"""Item and Sequence Delimitation Item."""
_UNDEFINED: Final = 0xFFFF_FFFF
_PLAIN: Final = struct.Struct("<HH2sH")
_LONG: Final = struct.Struct("<I")


class UnreadableDataSetError(Exception):
    """The bytes are not a data set in their transfer syntax. The message holds no values."""


class Found(NamedTuple):
    """What a scan has found."""

    values: dict[int, bytes]
    """The wanted values of the top level, by tag."""
    complete: bool
    """Whether the scan came past the last wanted element or to the data set's proper end."""
    past: bool = False
    """Whether it came past the last wanted element: no matter what follows."""


class _Encoding(NamedTuple):
    explicit: bool
    tag: struct.Struct
    short: struct.Struct
    long: struct.Struct


def _encoding(order: str, *, explicit: bool) -> _Encoding:
    return _Encoding(
        explicit,
        struct.Struct(f"{order}HH"),
        struct.Struct(f"{order}H"),
        struct.Struct(f"{order}I"),
    )


_IMPLICIT_LITTLE: Final = _encoding("<", explicit=False)
_EXPLICIT_LITTLE: Final = _encoding("<", explicit=True)
_EXPLICIT_BIG: Final = _encoding(">", explicit=True)


class Scanner:
    """Scans data sets that come one after another, as those of a series do.

    They mostly have one layout. Where an element begins follows from the headers before it, so as
    far as all headers of a layout are found again where it has them, nothing needs to be searched:
    to compare them all takes less time than to look at two.
    """

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._layout: Layout | None = None
        self._misfits = 0
        """Data sets in succession that had another layout."""
        self._patience = _PATIENCE
        """The layout is learned from the last of so many."""

    def scan(self, data_set: bytes | memoryview, transfer_syntax_uid: str) -> Found:
        """The wanted values of an encoded data set.

        Args:
            data_set: the bytes as they were received, without group 0002.
            transfer_syntax_uid: how they are encoded; a private one may be explicit or implicit.

        Raises:
            UnreadableDataSetError: a deflated data set that cannot be inflated.
        """
        if transfer_syntax_uid in DEFLATED:
            return _scan_deflated(data_set)
        encoding = _encoding_of(data_set, transfer_syntax_uid)
        if encoding is _EXPLICIT_LITTLE and (values := self._scan_plain(data_set)) is not None:
            return Found(values, complete=True, past=True)
        return _scan_any(data_set, encoding)

    def _scan_plain(self, data_set: bytes | memoryview) -> dict[int, bytes] | None:
        """The wanted values of an ordinary data set in explicit VR little endian; None: it is not.

        A layout is learned from the second in succession that differs: after a single one, others
        of the old layout may come. When none is ever met again, ever less often: it is in vain.
        """
        layout, common = self._layout, 0
        if layout is not None:
            common = layout.common(data_set)
            if common == len(layout.headers):
                self._misfits, self._patience = 0, _PATIENCE
                return layout.values(data_set)
            if common > len(layout.headers) // 2:
                self._misfits = 0
                return _walk_on(data_set, layout, common)
        self._misfits += 1
        if self._misfits < self._patience:
            return _walk(data_set)
        self._misfits, self._patience = 0, 2 * self._patience
        visited: list[Header] = []
        values = _walk(data_set, visited=visited)
        if values is not None and len(visited) <= LONGEST:
            wanted = [
                each._replace(length=min(each.length, _VALUE_BYTES))
                for each in visited
                if each.tag in values
            ]
            self._layout = Layout(data_set, visited, wanted)
        return values


def _encoding_of(data_set: bytes | memoryview, transfer_syntax_uid: str) -> _Encoding:
    if transfer_syntax_uid in IMPLICIT:
        return _IMPLICIT_LITTLE
    if transfer_syntax_uid == EXPLICIT_VR_BIG_ENDIAN:
        return _EXPLICIT_BIG
    standard = transfer_syntax_uid.startswith("1.2.840.10008.")
    if standard or _is_vr(bytes(data_set[4:6])):
        return _EXPLICIT_LITTLE
    return _IMPLICIT_LITTLE


def _is_vr(code: bytes) -> bool:
    return code.isalpha() and code.isupper()


class _Header(NamedTuple):
    tag: int
    vr: bytes
    """Empty for items and delimiters, and in implicit VR."""
    length: int
    value: int
    """Where the value begins."""


def _header(data_set: bytes | memoryview, position: int, encoding: _Encoding) -> _Header | None:
    """The header of the element at ``position``; None when it is cut off (PS3.5 7.1)."""
    value = position + 8
    if value > len(data_set):
        return None
    group, element = encoding.tag.unpack_from(data_set, position)
    vr = bytes(data_set[position + 4 : position + 6])
    if not encoding.explicit or group == _DELIMITERS or not _is_vr(vr):
        vr = b""
        (length,) = encoding.long.unpack_from(data_set, position + 4)
    elif vr not in LONG_VRS:
        (length,) = encoding.short.unpack_from(data_set, position + 6)
    else:
        value += 4
        if value > len(data_set):
            return None
        (length,) = encoding.long.unpack_from(data_set, position + 8)
    return _Header(group << 16 | element, vr, length, value)


def _scan_deflated(data_set: bytes | memoryview) -> Found:
    """Inflate only the head, a small one first."""
    found = Found({}, complete=False)
    for limit in _INFLATED:
        try:
            head = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data_set, limit)
        except zlib.error as error:
            raise UnreadableDataSetError("the deflate stream is broken") from error
        found = _scan_any(head, _EXPLICIT_LITTLE)
        if found.complete or len(head) < limit:
            break
    return found


def _walk_on(data_set: bytes | memoryview, layout: Layout, common: int) -> dict[int, bytes] | None:
    """`_walk` from the first header that is another than the layout's."""
    position = layout.headers[common].position
    before = layout.headers[common - 1].tag
    return _walk(data_set, position, before, layout.values_before(position, data_set))


def _walk(
    data_set: bytes | memoryview,
    position: int = 0,
    before: int = 0,
    values: dict[int, bytes] | None = None,
    visited: list[Header] | None = None,
) -> dict[int, bytes] | None:
    """The wanted values of an ordinary data set in explicit VR little endian.

    Ordinary: ascending elements with known VRs and defined lengths up to one behind the last wanted
    one. None: it is not, and `_scan_any` must look, which takes several times as long.

    Args:
        data_set: its bytes.
        position: where to begin.
        before: the tag of the element before.
        values: those that were found before.
        visited: takes the headers, up to one more than a layout may have.
    """
    values = {} if values is None else values
    end = len(data_set)
    try:
        while True:
            group, element, vr, length = _PLAIN.unpack_from(data_set, position)
            tag = group << 16 | element
            if tag <= before:
                return None
            before, header = tag, position
            position += 8
            if vr not in SHORT_VRS:
                if vr not in LONG_VRS:
                    return None
                (length,) = _LONG.unpack_from(data_set, position)
                position += 4
            if visited is not None and len(visited) <= LONGEST:
                visited.append(Header(tag, header, position, length))
            if tag > NUMBER_OF_FRAMES:
                return None if group == _DELIMITERS else values
            if length > end - position or length == _UNDEFINED:
                return None
            if tag in _WANTED:
                values[tag] = bytes(data_set[position : position + min(length, _VALUE_BYTES)])
            position += length
    except struct.error:
        return None


def _scan_any(data_set: bytes | memoryview, encoding: _Encoding) -> Found:
    """The wanted values of the top level, and whether the scan ended where it should.

    Sequences of defined length are skipped whole; in those of undefined length every element is
    stepped over with a stack of encodings (an element of VR UN and undefined length holds
    implicit VR little endian, PS3.5 6.2.2). After `_ELEMENTS` headers the scan gives up: a data set
    of nothing but empty items would keep it busy for minutes.
    """
    values: dict[int, bytes] = {}
    enclosing: list[_Encoding] = []
    position, end = 0, len(data_set)
    visited = 0
    while position < end:
        visited += 1
        if visited > _ELEMENTS:
            return Found(values, complete=False)
        header = _header(data_set, position, encoding)
        if header is None:
            return Found(values, complete=False)
        tag, vr, length, position = header
        if tag in _ENDS:
            if enclosing:
                encoding = enclosing.pop()
        elif not enclosing and tag > NUMBER_OF_FRAMES:
            return Found(values, complete=True, past=True)
        elif length == _UNDEFINED:
            enclosing.append(encoding)
            encoding = _IMPLICIT_LITTLE if vr == b"UN" else encoding
        elif length > end - position:
            return Found(values, complete=False)
        else:
            if tag in _WANTED and not enclosing:
                values[tag] = bytes(data_set[position : position + min(length, _VALUE_BYTES)])
            position += length
    return Found(values, complete=not enclosing)
