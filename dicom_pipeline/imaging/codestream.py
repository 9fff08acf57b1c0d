"""What the headers of a compressed frame say, which may differ from what the data set says.

Reads marker segments only (ITU-T T.81 B.2 for JPEG, T.87 C for JPEG-LS, T.800 Annex A for JPEG 2000
and HTJ2K); no pixel is decoded.
"""

import re
from collections.abc import Iterator
from typing import Final, Literal, NamedTuple

_SOI: Final = b"\xff\xd8"
JPEG_END: Final = b"\xff\xd9"
_APP0: Final = 0xE0
_APP1: Final = 0xE1
_APP2: Final = 0xE2
_APP14: Final = 0xEE
_SOS: Final = 0xDA
_JPEG_LS_SOF: Final = 0xF7
_NOT_FRAME_HEADERS: Final = {0xC4, 0xC8, 0xCC}
"""DHT, JPG and DAC share the range of the SOF markers."""
_STANDALONE: Final = {0x01, *range(0xD0, 0xD9)}
_MARKER: Final = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""What no coded data holds: there FF stands before 0, a byte below 80H (T.87 C.1) or RSTm."""
_RGB_IDS: Final = (ord("R"), ord("G"), ord("B"))

_J2K_START: Final = b"\xff\x4f\xff\x51"
_J2K_COD: Final = 0x52
_J2K_SOT: Final = 0x90


class JpegHeader(NamedTuple):
    """Frame and scan header of a JPEG or JPEG-LS codestream."""

    sof: int
    """Second byte of the SOF marker: 0xC0 baseline … 0xCF; 0xF7 is JPEG-LS."""
    precision: int
    rows: int
    columns: int
    component_ids: tuple[int, ...]
    adobe_transform: int | None
    """0: RGB, 1: YCbCr; None without an Adobe marker."""
    jfif: bool
    scan_components: int
    """Components of the first scan: 1 means that each component has a scan of its own."""
    selection: int
    """Ss: the predictor of lossless JPEG; NEAR of JPEG-LS (0 is lossless)."""
    point_transform: int
    """Al: bits shifted away before lossless coding."""
    shown_otherwise: bool = False
    """Whether an Exif orientation or an ICC profile asks for other pixels than the decoded ones."""

    @property
    def components(self) -> int:
        return len(self.component_ids)

    @property
    def layout(self) -> "JpegHeader":
        """What all frames of an object have in common: all but the predictor and NEAR."""
        return self._replace(selection=0, point_transform=0, shown_otherwise=False)

    @property
    def lossless(self) -> bool:
        """SOF3: the only lossless process that is decoded."""
        return self.sof == 0xC3  # noqa: PLR2004  T.81 table B.1

    @property
    def jpeg_ls(self) -> bool:
        return self.sof == _JPEG_LS_SOF

    def colour(self, photometric_interpretation: str) -> Literal["RGB", "YCBCR"]:
        """What three components mean: the Adobe marker, the ids, JFIF, then the data set decide."""
        if self.adobe_transform is not None:
            return "YCBCR" if self.adobe_transform else "RGB"
        if self.component_ids == _RGB_IDS:
            return "RGB"
        return "RGB" if photometric_interpretation == "RGB" and not self.jfif else "YCBCR"


class Jpeg2000Header(NamedTuple):
    """SIZ and COD segments of a JPEG 2000 or HTJ2K codestream."""

    rows: int
    columns: int
    components: int
    precision: int
    signed: bool
    multiple_component_transform: bool
    reversible: bool
    """The 5-3 wavelet: lossless unless layers were dropped."""

    @property
    def layout(self) -> "Jpeg2000Header":
        """What all frames of an object have in common: all but the wavelet."""
        return self._replace(reversible=True)


def jpeg_header(frame: bytes) -> JpegHeader | None:
    """The headers of a JPEG or JPEG-LS frame; None when there is no whole frame and scan header."""
    sof = b""
    marker_of_sof = 0
    adobe_transform: int | None = None
    jfif = shown_otherwise = False
    for marker, segment in _jpeg_segments(frame):
        if marker == _APP0 and segment.startswith(b"JFIF"):
            jfif = True
        elif marker == _APP14 and segment.startswith(b"Adobe") and len(segment) >= 12:  # noqa: PLR2004
            adobe_transform = segment[11]
        elif marker in {_APP1, _APP2}:
            shown_otherwise |= segment.startswith((b"ICC_PROFILE\0", b"Exif\0"))
        elif _is_sof(marker):
            marker_of_sof, sof = marker, segment
        elif marker == _SOS:
            if len(sof) < 6 or len(sof) < 6 + 3 * sof[5] or not segment:  # noqa: PLR2004  T.81 B.2.2
                return None
            scanned = segment[0]
            if len(segment) < 4 + 2 * scanned:
                return None
            last = segment[1 + 2 * scanned :]
            return JpegHeader(
                sof=marker_of_sof,
                precision=sof[0],
                rows=int.from_bytes(sof[1:3], "big"),
                columns=int.from_bytes(sof[3:5], "big"),
                component_ids=tuple(sof[6 + 3 * n] for n in range(sof[5])),
                adobe_transform=adobe_transform,
                jfif=jfif,
                scan_components=scanned,
                selection=last[0],
                point_transform=last[2] & 0x0F,
                shown_otherwise=shown_otherwise,
            )
    return None


def _is_sof(marker: int) -> bool:
    return marker == _JPEG_LS_SOF or (
        0xC0 <= marker <= 0xCF and marker not in _NOT_FRAME_HEADERS  # noqa: PLR2004  T.81 table B.1
    )


def _jpeg_segments(frame: bytes) -> Iterator[tuple[int, bytes]]:
    """(second marker byte, payload) of each segment up to and with the first SOS."""
    if frame[:2] != _SOI:
        return
    position = 2
    while position + 4 <= len(frame) and frame[position] == 0xFF:  # noqa: PLR2004  T.81 B.1.1.2
        marker = frame[position + 1]
        if marker == 0xFF:  # noqa: PLR2004  fill byte
            position += 1
            continue
        if marker in _STANDALONE:
            position += 2
            continue
        length = int.from_bytes(frame[position + 2 : position + 4], "big")
        payload = frame[position + 4 : position + 2 + length]
        if length < 2 or len(payload) != length - 2:  # noqa: PLR2004  the length counts itself
            return
        yield marker, payload
        if marker == _SOS:
            return
        position += 2 + length


def jpeg_length(frame: bytes) -> int:
    """Bytes of a JPEG or JPEG-LS frame up to its EOI marker and with it; 0 if it has none.

    Behind the marker there may be anything: padding, or what some vendors leave there.
    """
    position = len(_SOI)
    while found := _MARKER.search(frame, position):
        marker = frame[found.start() + 1]
        if marker == JPEG_END[1]:
            return found.end()
        if marker == _SOI[1]:  # another image begins
            return 0
        position = found.end() + int.from_bytes(frame[found.end() : found.end() + 2], "big")
    return 0


def closed(frame: bytes) -> bool:
    """Whether the last bytes of a frame are an end marker, before padding at most."""
    return frame.rstrip(b"\0\xff")[-2:] == JPEG_END


def is_cut_short(frame: bytes) -> bool:
    """Whether a frame without whole headers is the beginning of a codestream, or empty."""
    begun = not frame.strip(b"\0") or frame.startswith((_SOI, _J2K_START[:2]))
    return begun and not closed(frame)


def jpeg2000_header(frame: bytes) -> Jpeg2000Header | None:
    """The headers of a JPEG 2000 frame, bare or in a JP2 file; None when they are not whole."""
    start = frame.find(_J2K_START)
    if start < 0:
        return None
    siz = _j2k_segment(frame, start + 2)
    if siz is None or len(siz) < 39:  # noqa: PLR2004  T.800 A.5.1
        return None
    size_x, size_y, offset_x, offset_y = (
        int.from_bytes(siz[position : position + 4], "big") for position in (2, 6, 10, 14)
    )
    cod = _find_cod(frame, start + 4 + 2 + len(siz))
    if cod is None:
        return None
    return Jpeg2000Header(
        rows=size_y - offset_y,
        columns=size_x - offset_x,
        components=int.from_bytes(siz[34:36], "big"),
        precision=(siz[36] & 0x7F) + 1,
        signed=bool(siz[36] & 0x80),
        multiple_component_transform=cod[4] == 1,
        reversible=cod[9] == 1,
    )


def _j2k_segment(frame: bytes, position: int) -> bytes | None:
    """Payload of the marker segment at ``position``, or None when the frame ends before it does."""
    length = int.from_bytes(frame[position + 2 : position + 4], "big")
    payload = frame[position + 4 : position + 2 + length]
    return payload if length >= 2 and len(payload) == length - 2 else None  # noqa: PLR2004


def _find_cod(frame: bytes, position: int) -> bytes | None:
    while position + 4 <= len(frame) and frame[position] == 0xFF:  # noqa: PLR2004  T.800 A.1.1
        marker = frame[position + 1]
        segment = _j2k_segment(frame, position)
        if marker == _J2K_SOT or segment is None:
            return None
        if marker == _J2K_COD:
            return segment if len(segment) >= 10 else None  # noqa: PLR2004  T.800 A.6.1
        position += 4 + len(segment)
    return None


def jpeg2000_ends(frame: bytes) -> bool:
    """Whether all tile-parts of a JPEG 2000 frame are whole and followed by the EOC marker."""
    position = frame.find(_J2K_START) + 2
    while frame[position : position + 1] == b"\xff" and frame[position + 1] != _J2K_SOT:
        segment = _j2k_segment(frame, position)
        if segment is None:
            return False
        position += 4 + len(segment)
    while frame[position : position + 2] == bytes((0xFF, _J2K_SOT)):
        length = int.from_bytes(frame[position + 6 : position + 10], "big")  # Psot, T.800 A.4.2
        if not length:  # up to the EOC marker
            return frame.find(JPEG_END, position) >= 0
        position += length
    return frame[position : position + 2] == JPEG_END
