"""One object's video as an mp4 file that browsers play: copied where it can be, and proven."""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from dicom_pipeline.imaging.frames import fragments, looks_encapsulated
from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError, Outcome
from dicom_pipeline.imaging.rendering import Decision
from dicom_pipeline.imaging.transfer_syntaxes import H264_LEVEL_4_1, H264_LEVEL_4_2
from dicom_pipeline.imaging.video.timing import DEFAULT_RATE, frame_rate, time_stamps
from dicom_pipeline.imaging.video.tools import (
    TICKS,
    Contents,
    DamagedError,
    Packet,
    VideoTools,
    find_tools,
)
from dicom_pipeline.imaging.video.transport_stream import START, AccessUnit, write_transport_stream
from dicom_pipeline.storage import atomic_file, make_directories

_PLAYED_FORMATS: Final = frozenset({"yuv420p", "yuvj420p"})
_PLAYED_PROFILES: Final = frozenset({"Baseline", "Constrained Baseline", "Main", "High"})
"""Of H.264: what every browser plays, with 8 bits and 4:2:0."""
_PADDING: Final = 16
"""Coders fill pictures up to whole macroblocks, and not all of them say what to crop."""
_TOLERANCE: Final = 100
"""One frame in so many may be missing from an undamaged stream: devices count by the clock."""
_BOX_HEADER: Final = 8
_MACROBLOCK: Final = 16
_LEVEL_4_1: Final = (8_192, 245_760)
"""Macroblocks of a frame, and a second, up to which H.264 is of level 4.1 (Table A-1)."""


class _Declared(NamedTuple):
    """What the object says of its video; None: nothing that makes sense."""

    frames: int | None
    rows: int | None
    columns: int | None


class _Shown(NamedTuple):
    """The pictures of a stream in the order in which they are shown."""

    number: int
    digest: bytes
    """Of all pictures in their order."""
    positions: list[int]
    """Of their packets, in an elementary stream."""
    ordered: bool
    """Whether each picture has a time, later than that of the one before it."""


class _Made(NamedTuple):
    syntax_uid: str
    what: str
    """What was done, for the reason of the outcome."""


def extract_video(decision: Decision, source: DicomObject, target: Path) -> Outcome:
    """Write the video of an object as an mp4 file whose index stands first (fast start).

    The stream is decoded in full before and the file after it was written: what is damaged, cut or
    not in order never gets the name ``target``. Beside the file the joined stream lies on disk for
    as long as this takes, under no name.

    Args:
        decision: why the video is extracted.
        source: the object.
        target: the mp4 file. Its folder need not exist.

    Raises:
        ImagingError: the stream is truncated, damaged or no video, or no video library is at hand.
        MemoryError: the library needs more memory than the process may use.
        OSError: the system refused to read or to write.
    """
    found = fragments(source) if looks_encapsulated(source.pixel_bytes) else []
    if not any(len(fragment) for fragment in found):
        raise ImagingError(ErrorCode.TRUNCATED, "there are no fragments of a video")
    tools = find_tools()
    try:
        return _extract(tools, decision, source, target)
    except ImagingError as error:
        if error.library:
            error.library_version = tools.version()
        raise


def _extract(tools: VideoTools, decision: Decision, source: DicomObject, target: Path) -> Outcome:
    declared = _declared(source)
    make_directories(target.parent)
    with _scratch(target.parent) as (stream, path):
        for fragment in fragments(source):
            for block in fragment.blocks():
                stream.write(block)
        stream.flush()
        contents = _probe(tools, stream, path)
        _check_size(contents, declared)
        shown = _check_stream(tools, contents, declared, stream, path)
        with atomic_file(target) as file:
            written = Path(file.name)
            made = _write(tools, source, contents, shown, path, written)
            file.seek(0, os.SEEK_END)
            size = file.tell()
    return Outcome(
        action=decision.action,
        rule=decision.rule,
        reason="; ".join((decision.reason, made.what, *_remarks(declared, contents, shown))),
        target_ts=made.syntax_uid,
        file_size=size,
        frames=shown.number,
    )


@contextmanager
def _scratch(folder: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file without a name, and how other programs call it: gone when this process is."""
    with tempfile.TemporaryFile(dir=folder) as file:
        yield file, Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")


def _declared(source: DicomObject) -> _Declared:
    return _Declared(
        *(_number(source, keyword) for keyword in ("NumberOfFrames", "Rows", "Columns"))
    )


def _number(source: DicomObject, keyword: str) -> int | None:
    try:
        return int(source.dataset.get(keyword) or 0) or None
    except (TypeError, ValueError, OverflowError, NotImplementedError):
        return None


# What is there


def _probe(tools: VideoTools, stream: BinaryIO, path: Path) -> Contents:
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


def _check_size(contents: Contents, declared: _Declared) -> None:
    for keyword, pixels, said in (
        ("Rows", contents.rows, declared.rows),
        ("Columns", contents.columns, declared.columns),
    ):
        if said is not None and not said <= pixels < said + _PADDING:
            raise ImagingError(ErrorCode.MISMATCH, f"{keyword} is {said}, in the video {pixels}")


def _check_stream(
    tools: VideoTools, contents: Contents, declared: _Declared, stream: BinaryIO, path: Path
) -> _Shown:
    """Decode all of the stream.

    Raises:
        ImagingError: it is damaged, or holds too few frames.
    """
    shown, damage = _decode(tools, path)
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


def _decode(tools: VideoTools, path: Path) -> tuple[_Shown, DamagedError | None]:
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
    return _Shown(count, hashed.digest(), positions, ordered), damage


def _only_the_end_is_damaged(tools: VideoTools, stream: BinaryIO, path: Path) -> bool:
    """Whether an elementary stream is sound without its last picture, which is cut off here."""
    packets = list(tools.packets(path))
    if not packets:
        return False
    stream.truncate(packets[-1].position)
    shown, damage = _decode(tools, path)
    return shown.number > 0 and not damage


# What is made of it


def _write(  # noqa: PLR0913, PLR0917 - all that is known of the stream
    tools: VideoTools,
    source: DicomObject,
    contents: Contents,
    shown: _Shown,
    stream: Path,
    target: Path,
) -> _Made:
    """Copy what browsers play; encode what they do not, or what does not come out right."""
    if _is_played(contents):
        try:
            if contents.elementary:
                _copy_elementary(tools, source, contents, shown, stream, target)
            else:
                tools.copy(stream, target, contents)
            _verify(tools, target, shown, shown.digest)
            return _Made(source.syntax_uid, "its H.264 stream as it is")
        except ImagingError as error:
            if error.code not in {ErrorCode.MISMATCH, ErrorCode.DECODER_ERROR}:
                raise
    timed = not contents.elementary and shown.ordered
    rate = None if timed else frame_rate(source.dataset, contents.rate)
    tools.encode(stream, target, contents, rate)
    _verify(tools, target, shown, None)
    return _Made(
        _syntax_of(contents, rate or contents.rate or DEFAULT_RATE),
        f"{contents.codec} ({contents.profile}, {contents.pixel_format}) encoded as H.264",
    )


def _is_played(contents: Contents) -> bool:
    return (
        contents.codec == "h264"
        and contents.pixel_format in _PLAYED_FORMATS
        and contents.profile in _PLAYED_PROFILES
    )


def _copy_elementary(  # noqa: PLR0913, PLR0917 - as above
    tools: VideoTools,
    source: DicomObject,
    contents: Contents,
    shown: _Shown,
    stream: Path,
    target: Path,
) -> None:
    packets = list(tools.packets(stream))
    stamps = time_stamps(packets, shown.positions, frame_rate(source.dataset, contents.rate))
    if stamps is None:
        raise ImagingError(ErrorCode.MISMATCH, "pictures are not coded one by one", tools.library)
    start = Fraction(START + min(pts for pts, _ in stamps), TICKS)
    with _scratch(target.parent) as (timed, path):
        with stream.open("rb") as elementary:
            write_transport_stream(_access_units(elementary, packets, stamps), timed)
        timed.flush()
        tools.copy(path, target, contents._replace(container="mpegts", start=start))


def _access_units(
    stream: BinaryIO, packets: Sequence[Packet], stamps: Sequence[tuple[int, int]]
) -> Iterator[AccessUnit]:
    for packet, (pts, dts) in zip(packets, stamps, strict=True):
        stream.seek(packet.position)
        yield AccessUnit(stream.read(packet.size), pts, dts)


def _verify(tools: VideoTools, written: Path, shown: _Shown, digest: bytes | None) -> None:
    """Decode a written file: every frame must be there, shown later than the one before it.

    Args:
        tools: decodes.
        written: the mp4 file.
        shown: what the stream holds.
        digest: of the stream's pictures, which a copy has as well.
    """
    again, damage = _decode(tools, written)
    if damage or again.number != shown.number or not again.ordered:
        raise ImagingError(
            ErrorCode.MISMATCH,
            f"the mp4 file shows {again.number} of {shown.number} frames, or not in order",
            tools.library,
        )
    if digest is not None and again.digest != digest:
        raise ImagingError(
            ErrorCode.MISMATCH, "the mp4 file shows other pictures than the stream", tools.library
        )


def _syntax_of(contents: Contents, rate: Fraction) -> str:
    """The transfer syntax whose coding an encoded video has; the higher level beyond both."""
    frame = -(-contents.columns // _MACROBLOCK) * -(-contents.rows // _MACROBLOCK)
    largest, fastest = _LEVEL_4_1
    return H264_LEVEL_4_1 if frame <= largest and frame * rate <= fastest else H264_LEVEL_4_2


def _remarks(declared: _Declared, contents: Contents, shown: _Shown) -> Iterator[str]:
    """What differs from the attributes without harm."""
    if declared.frames is not None and declared.frames != shown.number:
        yield f"{shown.number} frames where NumberOfFrames says {declared.frames}"
    size = (contents.rows, contents.columns)
    if (declared.rows or size[0], declared.columns or size[1]) != size:
        yield f"{size[0]} rows and {size[1]} columns where the object has fewer"
