"""What an object says of its video, what its stream holds, and whether the two are sound."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.video.tools import Contents, DamagedError, VideoTools

PADDING: Final = 16
"""Coders fill pictures up to whole macroblocks, and not all of them say what to crop."""
_TOLERANCE: Final = 100
"""One frame in so many may be missing from an undamaged stream: devices count by the clock."""
_BOX_HEADER: Final = 8


class Declared(NamedTuple):
    """What the object says of its video; None: nothing that makes sense."""

    frames: int | None
    rows: int | None
    columns: int | None


class Shown(NamedTuple):
    """The pictures of a stream in the order in which they are shown."""

    number: int
    digest: bytes
    """Of all pictures in their order."""
    positions: list[int]
    """Of their packets, in an elementary stream."""
    ordered: bool
    """Whether each picture has a time, later than that of the one before it."""


def declare(source: DicomObject) -> Declared:
    """What the attributes of an object say of its video."""
    return Declared(
        *(_number(source, keyword) for keyword in ("NumberOfFrames", "Rows", "Columns"))
    )


def _number(source: DicomObject, keyword: str) -> int | None:
    try:
        return int(source.dataset.get(keyword) or 0) or None
    except (TypeError, ValueError, OverflowError, NotImplementedError):
        return None


def probe(tools: VideoTools, stream: BinaryIO, path: Path) -> Contents:
    """Find out what is inside a stream, which is open and has a path.

    Raises:
        ImagingError: it is cut, or no video that DICOM allows.
    """
    if _is_cut_mp4(stream):
        raise ImagingError(ErrorCode.TRUNCATED, "the mp4 file in the object is cut")
    return tools.probe(path)


def _is_cut_mp4(stream: BinaryIO) -> bool:
    """Whether the boxes of an mp4 file reach beyond its end (ISO/IEC 14496-12 4.2)."""
    size = stream.seek(0, os.SEEK_END)
    position = 0
    while position + _BOX_HEADER <= size:
        stream.seek(position)
        header = stream.read(2 * _BOX_HEADER)
        if position == 0 and header[4:8] not in {b"ftyp", b"styp", b"moov", b"mdat", b"wide"}:
            return False
        length = int.from_bytes(header[:4], "big")
        if length == 1:
            length = int.from_bytes(header[8:], "big")
        if length == 0 or not header[4:8].isalnum():
            return False
        position += length
    return position > size


def check_size(contents: Contents, declared: Declared) -> None:
    """Raises ImagingError when rows or columns are fewer than declared, or many more."""
    for keyword, pixels, said in (
        ("Rows", contents.rows, declared.rows),
        ("Columns", contents.columns, declared.columns),
    ):
        if said is not None and not said <= pixels < said + PADDING:
            raise ImagingError(ErrorCode.MISMATCH, f"{keyword} is {said}, in the video {pixels}")


def check_stream(
    tools: VideoTools, contents: Contents, declared: Declared, stream: BinaryIO, path: Path
) -> Shown:
    """Decode all of the stream.

    Raises:
        ImagingError: it is damaged, or holds too few frames.
    """
    shown, damage = decode(tools, path)
    missing = (declared.frames or 0) - shown.number
    if missing > max(1, (declared.frames or 0) // _TOLERANCE):
        raise ImagingError(
            ErrorCode.TRUNCATED,
            f"the video has {shown.number} of {declared.frames} frames",
            tools.library,
        )
    if damage:
        cut = contents.elementary and _only_the_end_is_damaged(tools, stream, path)
        raise ImagingError(
            ErrorCode.TRUNCATED if cut else ErrorCode.DECODER_ERROR,
            "the last frame of the video is cut" if cut else f"the video is damaged: {damage}",
            tools.library,
        )
    if not shown.number:
        raise ImagingError(ErrorCode.DECODER_ERROR, "the video has no frames", tools.library)
    return shown


def decode(tools: VideoTools, path: Path) -> tuple[Shown, DamagedError | None]:
    """Decode a stream in full, and note where its decoder stumbled over it."""
    count, positions, ordered, before = 0, [], True, None
    hashed = hashlib.blake2b(digest_size=16)
    damage = None
    try:
        for picture in tools.pictures(path):
            count += 1
            hashed.update(picture.digest)
            if picture.position is not None:
                positions.append(picture.position)
            ordered &= picture.pts is not None and (before is None or picture.pts > before)
            before = picture.pts
    except DamagedError as error:
        damage = error
    return Shown(count, hashed.digest(), positions, ordered), damage


def _only_the_end_is_damaged(tools: VideoTools, stream: BinaryIO, path: Path) -> bool:
    """Whether an elementary stream is sound without its last picture, which is cut off here."""
    packets = list(tools.packets(path))
    if not packets:
        return False
    stream.truncate(packets[-1].position)
    shown, damage = decode(tools, path)
    return shown.number > 0 and not damage
