"""Short videos whose frames can be told apart: each is a noisy grey, brighter than the last."""

import io
from collections.abc import Sequence
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import av
import numpy as np
from pydicom.dataelem import DataElement

from dicom_pipeline_tests.imaging.images import P, header, save

FRAMES: Final = 36
ROWS, COLUMNS = 48, 64
RATE: Final = 25
MPEG2, H264, HEVC, HEVC_10 = f"{P}.4.100", f"{P}.4.102", f"{P}.4.107", f"{P}.4.108"
_NOISE: Final = 6
_SAMPLE_RATE: Final = 48_000


class Kind(NamedTuple):
    """How a clip is coded."""

    syntax: str
    encoder: str
    container: str
    audio: str | None = None
    pixel_format: str = "yuv420p"
    options: tuple[tuple[str, str], ...] = ()


_X264_PARAMETERS = "bframes=3:b-adapt=0:scenecut=0:keyint=18"
_X264 = (("x264-params", _X264_PARAMETERS), ("crf", "14"))
_X265 = (("x265-params", "log-level=none:bframes=3:keyint=18"),)
_MPEG2 = (("bf", "2"), ("g", "12"), ("b", "4000000"))
_X264_FIELDS = (("x264-params", f"{_X264_PARAMETERS}:tff=1"), ("crf", "14"))

KINDS: Final = {
    "h264-stream": Kind(H264, "libx264", "h264", options=_X264),
    "h264-stream-of-fields": Kind(H264, "libx264", "h264", options=_X264_FIELDS),
    "h264-without-b-frames": Kind(H264, "libx264", "h264", options=(("bf", "0"), ("crf", "14"))),
    "h264-mp4": Kind(H264, "libx264", "mp4", "aac", options=_X264),
    "h264-transport-stream": Kind(H264, "libx264", "mpegts", "aac", options=_X264),
    "h264-10-bit": Kind(H264, "libx264", "h264", pixel_format="yuv420p10le", options=_X264),
    "h264-422": Kind(H264, "libx264", "h264", pixel_format="yuv422p", options=_X264),
    "mpeg2-stream": Kind(MPEG2, "mpeg2video", "mpeg2video", options=_MPEG2),
    "mpeg2-stream-of-fields": Kind(
        MPEG2, "mpeg2video", "mpeg2video", options=(*_MPEG2, ("flags", "+ildct+ilme"))
    ),
    "mpeg2-program-stream": Kind(MPEG2, "mpeg2video", "vob", "mp2", options=_MPEG2),
    "mpeg2-transport-stream": Kind(MPEG2, "mpeg2video", "mpegts", "mp2", options=_MPEG2),
    "hevc-stream": Kind(HEVC, "libx265", "hevc", options=_X265),
    "hevc-mp4": Kind(HEVC, "libx265", "mp4", options=_X265),
    "hevc-10-bit": Kind(HEVC_10, "libx265", "hevc", pixel_format="yuv420p10le", options=_X265),
}
COPIED: Final = {
    "h264-stream",
    "h264-stream-of-fields",
    "h264-without-b-frames",
    "h264-mp4",
    "h264-transport-stream",
}
"""What browsers play as it is."""
WITH_AUDIO: Final = {name for name, kind in KINDS.items() if kind.audio}


def grey(number: int) -> int:
    """The mean of the samples of a frame."""
    return 30 + 5 * number


@cache
def clip(name: str, frames: int = FRAMES) -> bytes:
    """The stream of a kind of clip."""
    kind = KINDS[name]
    file = io.BytesIO()
    with av.open(file, "w", format=kind.container) as output:
        video = output.add_stream(kind.encoder, rate=RATE, options=dict(kind.options))
        video.width, video.height, video.pix_fmt = COLUMNS, ROWS, kind.pixel_format
        video.codec_context.thread_count = 1
        audio = None
        if kind.audio:
            audio = output.add_stream(kind.audio, rate=_SAMPLE_RATE, layout="mono")
            audio.bit_rate = 64_000
        random = np.random.default_rng(5)
        for number in range(frames):
            planes = np.full((ROWS * 3 // 2, COLUMNS), 128, np.uint8)
            noise = random.integers(-_NOISE, _NOISE + 1, (ROWS, COLUMNS))
            planes[:ROWS] = grey(number) + noise
            frame = av.VideoFrame.from_ndarray(planes, "yuv420p").reformat(format=kind.pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            output.mux(video.encode(frame))
        output.mux(video.encode(None))
        if audio:
            _add_tone(output, audio, frames)
    return file.getvalue()


def _add_tone(output: Any, audio: Any, frames: int) -> None:
    samples = np.arange(_SAMPLE_RATE * frames // RATE)
    tone = (8000 * np.sin(samples * 0.05)).astype(np.int16)
    resampler = av.AudioResampler(audio.codec_context.format, "mono", _SAMPLE_RATE, 1024)
    if audio.codec_context.name == "mp2":
        resampler = av.AudioResampler("s16", "mono", _SAMPLE_RATE, 1152)
    frame = av.AudioFrame.from_ndarray(tone[None], "s16", "mono")
    frame.sample_rate, frame.pts = _SAMPLE_RATE, 0
    for piece in (*resampler.resample(frame), *resampler.resample(None)):
        output.mux(audio.encode(piece))
    output.mux(audio.encode(None))


def video_object(
    path: Path, stream: bytes, syntax: str = H264, *, fragments: int = 1, **attributes: Any
) -> Path:
    """An object whose pixel data is a stream, cut into fragments where it may be."""
    size = -(-len(stream) // fragments) or 2
    size += size % 2
    parts = [stream[at : at + size] for at in range(0, len(stream), size)]
    described = {
        "NumberOfFrames": FRAMES,
        "FrameTime": 1000 / RATE,
        "PhotometricInterpretation": "YBR_PARTIAL_420",
        **attributes,
    }
    ds = header(np.zeros((ROWS, COLUMNS, 3), np.uint8), **described)
    element = DataElement("PixelData", "OB", items(parts))
    element.is_undefined_length = True
    ds[element.tag] = element
    return save(path, ds, syntax)


def items(parts: Sequence[bytes]) -> bytes:
    """Fragments after an empty offset table, without the delimiter (PS3.5 A.4)."""
    padded = [part + b"\0" * (len(part) % 2) for part in (b"", *parts)]
    return b"".join(b"\xfe\xff\x00\xe0" + len(part).to_bytes(4, "little") + part for part in padded)


def object_of(path: Path, name: str, **attributes: Any) -> Path:
    """An object with a kind of clip."""
    return video_object(path, clip(name), KINDS[name].syntax, **attributes)


class Played(NamedTuple):
    """A frame as a player shows it."""

    seconds: Fraction
    grey: float


def played(path: Path) -> list[Played]:
    """The frames of a file by the time at which they are shown, whatever the decoder's order."""
    with av.open(str(path)) as file:
        video = file.streams.video[0]
        video.codec_context.flags |= av.codec.context.Flags.copy_opaque
        frames = []
        for packet in file.demux(video):
            packet.opaque = packet.pts  # a frame's own time is a guess
            frames += [
                Played(frame.opaque * video.time_base, frame.to_ndarray()[:ROWS, :COLUMNS].mean())
                for frame in video.codec_context.decode(packet)
            ]
    return sorted(frames)
