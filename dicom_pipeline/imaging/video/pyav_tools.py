"""Videos with PyAV: the extra ``video``."""

import errno
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.codec.context import Flags
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange

from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.video.tools import (
    AUDIO_BIT_RATE,
    AUDIO_CODECS,
    DECODER_OPTIONS,
    ENCODER,
    ENCODER_OPTIONS,
    INPUT_OPTIONS,
    THREADS,
    TICKS,
    VIDEO_CODECS,
    Contents,
    DamagedError,
    Packet,
    Picture,
)

if TYPE_CHECKING:
    from av.packet import Packet as AvPacket  # generic in its stub only

LIBRARY: Final = "av"

_OF_THE_SYSTEM: Final = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EACCES, errno.EFBIG}
)
"""Errors of reading and writing; FFmpeg uses other numbers of `errno` for its own purposes."""
_MUXER_OPTIONS: Final = {"movflags": "+faststart", "fflags": "+bitexact"}


class PyAvTools:
    """`tools.VideoTools` in this very process."""

    library = LIBRARY

    def version(self) -> str:
        return av.__version__

    def probe(self, path: Path) -> Contents:
        with _input(path) as container:
            video = container.streams.video[0]
            context = video.codec_context
            if not (context.pix_fmt and context.width and context.height):
                raise _no_video()
            audio = next(_kept_audio(container), None)
            return Contents(
                container=container.format.name.partition(",")[0],
                codec=context.name,
                profile=context.profile or "",
                pixel_format=context.pix_fmt,
                columns=context.width,
                rows=context.height,
                rate=video.average_rate or video.guessed_rate,
                start=(video.start_time or 0) * Fraction(video.time_base or 1),
                audio=audio.codec_context.name if audio else None,
            )

    def packets(self, path: Path) -> Iterator[Packet]:
        with _input(path) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.size and packet.pos is not None:
                    yield Packet(packet.pos, packet.size)

    def pictures(self, path: Path) -> Iterator[Picture]:
        with _input(path) as container:
            damage: list[str] = []
            for frame in _decoded(container, damage):
                # The frame's own time is FFmpeg's best guess, which hides a wrong order.
                position, pts = cast("tuple[int | None, int | None]", frame.opaque)
                yield Picture(position, pts, _digest(frame))
            if damage:
                raise DamagedError(f"{damage[0]}, {len(damage)} times in all")

    def copy(self, source: Path, target: Path, contents: Contents) -> None:
        with _input(source) as container, _output(target) as output:
            video = container.streams.video[0]
            copied = output.add_stream_from_template(video)
            copied.metadata.clear()
            audio = _Audio(container, output, contents.start)
            first = round(contents.start / Fraction(video.time_base or 1))
            for packet in container.demux([video, *audio.streams]):
                if packet.stream is not video:
                    audio.add(packet)
                elif packet.dts is not None and packet.pts is not None:
                    packet.pts, packet.dts = packet.pts - first, packet.dts - first
                    packet.stream = copied
                    output.mux(packet)
            audio.finish()

    def encode(self, source: Path, target: Path, contents: Contents, rate: Fraction | None) -> None:
        if ENCODER not in av.codecs_available:
            raise ImagingError(
                ErrorCode.MISSING_EXTRA,
                f"PyAV was built without the encoder {ENCODER}: install the wheel of PyPI",
                LIBRARY,
            )
        with _input(source) as container, _output(target) as output:
            video = container.streams.video[0]
            context = video.codec_context
            encoded = output.add_stream(ENCODER, options=dict(ENCODER_OPTIONS))
            encoded.width, encoded.height = context.width, context.height
            encoded.pix_fmt = "yuv420p"
            encoded.codec_context.thread_count = THREADS
            encoded.codec_context.time_base = 1 / rate if rate else Fraction(1, TICKS)
            encoded.codec_context.framerate = (
                rate or video.average_rate or video.guessed_rate or Fraction(25)
            )
            if context.sample_aspect_ratio:
                encoded.codec_context.sample_aspect_ratio = context.sample_aspect_ratio
            encoded.codec_context.color_primaries = context.color_primaries
            encoded.codec_context.color_trc = context.color_trc
            encoded.codec_context.colorspace = context.colorspace
            audio = _Audio(container, output, contents.start)
            for number, frame in enumerate(_decoded(container, [], audio)):
                shown = frame.reformat(format="yuv420p", dst_color_range=ColorRange.MPEG)
                if rate:
                    shown.pts, shown.time_base = number, 1 / rate
                elif frame.pts is not None:
                    at = frame.pts * Fraction(frame.time_base or 1) - contents.start
                    shown.pts, shown.time_base = round(at * TICKS), Fraction(1, TICKS)
                shown.pict_type = 0
                for packet in encoded.encode(shown):
                    output.mux(packet)
            for packet in encoded.encode(None):
                output.mux(packet)
            audio.finish()


class _Audio:
    """The first audio stream of a file on its way to another: AAC as it is, else as AAC."""

    def __init__(self, container: InputContainer, output: OutputContainer, zero: Fraction) -> None:
        self.streams = list(_kept_audio(container))[:1]
        self._output = output
        self._zero = zero
        if not self.streams:
            return
        source = self.streams[0]
        self._copied = source.codec_context.name == "aac"
        if self._copied:
            self._stream = output.add_stream_from_template(source)
            self._stream.metadata.clear()
            return
        context = source.codec_context
        self._stream = output.add_stream("aac", rate=context.sample_rate)
        self._stream.bit_rate = AUDIO_BIT_RATE
        layout = "mono" if context.channels == 1 else "stereo"
        self._stream.codec_context.layout = layout
        self._resampler = AudioResampler("fltp", layout, context.sample_rate, 1024)

    def add(self, packet: "AvPacket[Any]") -> None:
        if not self._copied:
            for frame in self.streams[0].codec_context.decode(packet):
                self._encode(frame)
        elif packet.dts is not None and packet.pts is not None:
            shift = round(self._zero / Fraction(packet.time_base))
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = self._stream
            self._output.mux(packet)

    def finish(self) -> None:
        if self.streams and not self._copied:
            self._encode(None)
            self._output.mux(self._stream.encode(None))

    def _encode(self, frame: AudioFrame | None) -> None:
        if frame is not None and frame.pts is not None and frame.time_base:
            frame.pts -= round(self._zero / frame.time_base)
        for resampled in self._resampler.resample(frame):
            self._output.mux(self._stream.encode(resampled))


def _decoded(
    container: InputContainer, damage: list[str], audio: _Audio | None = None
) -> Iterator[VideoFrame]:
    """The pictures of a file; what the decoder stumbled over is added to ``damage``."""
    video = container.streams.video[0]
    context = video.codec_context
    context.options = dict(DECODER_OPTIONS)
    context.thread_type, context.thread_count = "AUTO", THREADS
    context.flags |= Flags.copy_opaque
    try:
        for packet in container.demux([video, *(audio.streams if audio else [])]):
            try:
                if audio and packet.stream is not video:
                    audio.add(packet)
                    continue
                if packet.is_corrupt:
                    damage.append("a packet is incomplete")
                if packet.size:
                    packet.opaque = (packet.pos, packet.pts)
                yield from context.decode(packet)
            except FFmpegError as error:
                damage.append(type(error).__name__)
    finally:
        # A decoder's thread that gives a packet back needs the GIL for what the packet bears, and
        # who frees the decoder holds it and waits for the thread: for ever. This waits without it.
        context.flush_buffers()


def _digest(frame: VideoFrame) -> bytes:
    """Of the samples without the padding of the lines."""
    hashed = hashlib.blake2b(
        f"{frame.format.name} {frame.width} {frame.height}".encode(), digest_size=16
    )
    for plane, component in zip(frame.planes, frame.format.components, strict=False):
        used = plane.width * ((component.bits + 7) // 8)
        lines = memoryview(plane)
        if used == plane.line_size:
            hashed.update(lines)
            continue
        for line in range(plane.height):
            first = line * plane.line_size
            hashed.update(lines[first : first + used])
    return hashed.digest()


def _kept_audio(container: InputContainer) -> Iterator[Any]:
    return (one for one in container.streams.audio if _codec(one) in AUDIO_CODECS)


def _codec(stream: Any) -> str | None:  # noqa: ANN401 - PyAV's types know no stream without one
    """The codec of a stream; None of one that may not be decoded."""
    return stream.codec_context.name if stream.codec_context else None


@contextmanager
def _input(path: Path) -> Iterator[InputContainer]:
    """The streams of a file; what the library raises meanwhile becomes our own errors."""
    try:
        with av.open(str(path), options=dict(INPUT_OPTIONS)) as container:
            videos = container.streams.video
            if not videos or _codec(videos[0]) not in VIDEO_CODECS:
                raise _no_video()
            yield container
    except FFmpegError as error:
        if error.errno == errno.ENOMEM:
            raise MemoryError from error
        if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
            raise OSError(error.errno, error.strerror) from error
        raise ImagingError(
            ErrorCode.DECODER_ERROR, f"PyAV refuses it: {type(error).__name__}", LIBRARY
        ) from error


@contextmanager
def _output(path: Path) -> Iterator[OutputContainer]:
    with av.open(str(path), "w", format="mp4", options=_MUXER_OPTIONS) as container:
        yield container


def _no_video() -> ImagingError:
    return ImagingError(
        ErrorCode.DECODER_ERROR, "there is no MPEG-2, H.264 or HEVC video in the stream", LIBRARY
    )
