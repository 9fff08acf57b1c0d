"""What the extraction of videos asks of a video library, and which one is at hand.

Both libraries are FFmpeg inside: PyAV brings it along, the program ``ffmpeg`` is the system's. What
is in an object is not to be trusted, so neither may guess beyond the formats that DICOM allows: a
playlist, for one, would let an object name other files.
"""

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError

CONTAINERS: Final = ("h264", "hevc", "mpegvideo", "mpeg", "mpegts", "mov")
"""FFmpeg's names of the formats that may be opened: elementary streams first."""
VIDEO_CODECS: Final = ("h264", "hevc", "mpeg1video", "mpeg2video")
AUDIO_CODECS: Final = ("aac", "aac_latm", "ac3", "mp2", "mp3", "mp3float", "pcm_s16be", "pcm_s16le",
                       "pcm_dvd", "pcm_bluray")  # fmt: skip
"""Audio that comes along; what else there is, is left out."""
ELEMENTARY: Final = frozenset({"h264", "hevc", "mpegvideo"})
"""Formats without time stamps and without audio."""

INPUT_OPTIONS: Final = {
    "format_whitelist": ",".join(CONTAINERS),
    "protocol_whitelist": "file",
    "codec_whitelist": ",".join((*VIDEO_CODECS, *AUDIO_CODECS)),
}
DECODER_OPTIONS: Final = {"err_detect": "crccheck+explode", "strict": "1"}
"""Damage is an error, and H.264 frames wait until their order is certain."""
ENCODER: Final = "libx264"
ENCODER_OPTIONS: Final = {"preset": "veryfast", "crf": "18", "profile": "high"}
"""Constant quality (lower is better; x264 itself takes 23), quick rather than small."""
AUDIO_BIT_RATE: Final = 128_000
THREADS: Final = 2
"""Of one decoder or encoder. Objects are worked on side by side, in processes."""
TICKS: Final = 90_000
"""Time stamps a second, in the transport stream and in the mp4 file."""


class Contents(NamedTuple):
    """What is inside a stream."""

    container: str
    """One of `CONTAINERS`."""
    codec: str
    """One of `VIDEO_CODECS`."""
    profile: str
    pixel_format: str
    """FFmpeg's name, e.g. ``yuv420p``."""
    columns: int
    rows: int
    rate: Fraction | None
    """Frames a second, as the stream says."""
    start: Fraction
    """When the first picture is shown, in seconds of the stream's clock; 0 without a clock."""
    audio: str | None
    """Codec of the first audio stream; None when there is none that can be kept."""

    @property
    def elementary(self) -> bool:
        """Whether there are no time stamps."""
        return self.container in ELEMENTARY


class Packet(NamedTuple):
    """A coded picture in a file."""

    position: int
    """Bytes from the beginning of the file."""
    size: int


class Picture(NamedTuple):
    """A decoded picture."""

    position: int | None
    """Where its packet begins, in an elementary stream."""
    pts: int | None
    """When it is shown, in units of the stream; None where the stream does not say."""
    digest: bytes
    """Of its samples; only to be compared with those of the same library."""


class DamagedError(Exception):
    """A decoder stumbled over the stream. Raised after all pictures that could be had."""


class VideoTools(Protocol):
    """A video library. All files are named by paths; streams are decoded in bounded memory."""

    @property
    def library(self) -> str:
        """Name for outcomes."""

    def version(self) -> str:
        """Of the library."""

    def probe(self, path: Path) -> Contents:
        """Look at the beginning of a stream.

        Raises:
            ImagingError: there is no video that DICOM allows.
        """

    def packets(self, path: Path) -> Iterator[Packet]:
        """The coded pictures of an elementary stream, in the order of the file."""

    def pictures(self, path: Path) -> Iterator[Picture]:
        """Decode a stream in full: its pictures in the order in which they are shown.

        Raises:
            DamagedError: at the end, when a decoder stumbled on the way.
        """

    def copy(self, source: Path, target: Path, contents: Contents) -> None:
        """Write an mp4 file with the video packets of a stream that has time stamps.

        AAC is copied as well, other audio is encoded. The first picture is shown at 0.

        Args:
            source: a stream.
            target: an mp4 file that is there already, and is overwritten.
            contents: of the stream.

        Raises:
            ImagingError: the streams do not fit together.
        """

    def encode(self, source: Path, target: Path, contents: Contents, rate: Fraction | None) -> None:
        """Write an mp4 file with the pictures encoded as H.264, 4:2:0, 8 bits.

        Args:
            source: a stream.
            target: as above.
            contents: as above.
            rate: frames a second; None keeps the time stamps of the stream.

        Raises:
            ImagingError: the encoder is missing or fails.
        """


def find_tools() -> VideoTools:
    """PyAV, since its version is pinned and it needs no further process; else the programs.

    Raises:
        ImagingError: there is neither.
    """
    with suppress(ImportError):
        from dicom_pipeline.imaging.video.pyav_tools import PyAvTools  # noqa: PLC0415 - an extra

        return PyAvTools()
    from dicom_pipeline.imaging.video.ffmpeg_tools import find_programs  # noqa: PLC0415

    programs = find_programs()
    if programs is None:
        raise ImagingError(
            ErrorCode.MISSING_EXTRA,
            "videos need the programs ffmpeg and ffprobe, or the extra 'video' (PyAV): install "
            "either where the renditions are made, then send the failures with the code "
            "missing_extra again (dicom-pipeline backfill --code missing_extra)",
        )
    return programs
