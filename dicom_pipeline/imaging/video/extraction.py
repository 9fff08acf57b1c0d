"""One object's video as an mp4 file that browsers play: copied where it can be, and proven."""

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
from dicom_pipeline.imaging.video.examination import (
    Declared,
    Shown,
    check_size,
    check_stream,
    declare,
    decode,
    probe,
)
from dicom_pipeline.imaging.video.timing import DEFAULT_RATE, frame_rate, time_stamps
from dicom_pipeline.imaging.video.tools import (
    TICKS,
    Contents,
    Packet,
    VideoTools,
    find_tools,
)
from dicom_pipeline.imaging.video.transport_stream import START, AccessUnit, write_transport_stream
from dicom_pipeline.storage import atomic_file, make_directories

_PLAYED_FORMATS: Final = frozenset({"yuv420p", "yuvj420p"})
_PLAYED_PROFILES: Final = frozenset({"Baseline", "Constrained Baseline", "Main", "High"})
"""Of H.264: what every browser plays, with 8 bits and 4:2:0."""
_MACROBLOCK: Final = 16
_LEVEL_4_1: Final = (8_192, 245_760)
"""Macroblocks of a frame, and a second, up to which H.264 is of level 4.1 (Table A-1)."""


class _Job(NamedTuple):
    """A stream that was found sound."""

    tools: VideoTools
    source: DicomObject
    contents: Contents
    shown: Shown
    stream: Path


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
    declared = declare(source)
    make_directories(target.parent)
    with _scratch(target.parent) as (stream, path):
        for fragment in fragments(source):
            for block in fragment.blocks():
                stream.write(block)
        stream.flush()
        contents = probe(tools, stream, path)
        check_size(contents, declared)
        shown = check_stream(tools, contents, declared, stream, path)
        with atomic_file(target) as file:
            written = Path(file.name)
            made = _write(_Job(tools, source, contents, shown, path), written)
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


def _write(job: _Job, target: Path) -> _Made:
    """Copy what browsers play; encode what they do not, or what does not come out right."""
    tools, source, contents, shown, stream = job
    if _is_played(contents):
        try:
            if contents.elementary:
                _copy_elementary(job, target)
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


def _copy_elementary(job: _Job, target: Path) -> None:
    tools, source, contents, shown, stream = job
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


def _verify(tools: VideoTools, written: Path, shown: Shown, digest: bytes | None) -> None:
    """Decode a written file: every frame must be there, shown later than the one before it.

    Args:
        tools: decodes.
        written: the mp4 file.
        shown: what the stream holds.
        digest: of the stream's pictures, which a copy has as well.
    """
    again, damage = decode(tools, written)
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


def _remarks(declared: Declared, contents: Contents, shown: Shown) -> Iterator[str]:
    """What differs from the attributes without harm."""
    if declared.frames is not None and declared.frames != shown.number:
        yield f"{shown.number} frames where NumberOfFrames says {declared.frames}"
    size = (contents.rows, contents.columns)
    if (declared.rows or size[0], declared.columns or size[1]) != size:
        yield f"{size[0]} rows and {size[1]} columns where the object has fewer"
