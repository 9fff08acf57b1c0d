"""Videos with the system's programs ``ffmpeg`` and ``ffprobe``, from version 5.1 on.

The programs inherit the limit on memory from the worker that starts them, and are killed with it.
"""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from fractions import Fraction
from functools import cache, partial
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

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
from dicom_pipeline.process_tree import die_with_parent

LIBRARY: Final = "ffmpeg"

_VERSION: Final = re.compile(r"ffmpeg version (\S+)")
_DAMAGE: Final = re.compile(r"\[(error|fatal)\]|corrupt input packet")
"""What ffmpeg writes of damage. Its other warnings are about time stamps."""
_NO_MEMORY: Final = re.compile(
    f"{os.strerror(errno.ENOMEM)}|{os.strerror(errno.EAGAIN)}|failed to map segment|malloc of size"
)
"""What the programs, the loader and the encoder write when there is too little memory."""
_NOT_STARTED: Final = (126, 127)
"""Exit statuses of a program that the system could not load."""
_OF_THE_SYSTEM: Final = tuple(
    (number, os.strerror(number)) for number in (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
)
"""What ffmpeg says when a file cannot be written."""
_COMPLAINT_LENGTH: Final = 4_096
_STREAM: Final = (
    "stream=codec_type,codec_name,profile,pix_fmt,width,height,avg_frame_rate,r_frame_rate,"
    "start_pts,time_base"
)


class _ProgramError(Exception):
    """A program ended with an error.

    Args:
        complaint: the beginning of what it wrote, which may name what is in the stream.
        status: its exit status.
    """

    def __init__(self, complaint: str, status: int) -> None:
        super().__init__(f"ended with {_ending(status)}")
        self.complaint = complaint
        self.status = status


class FfmpegTools(NamedTuple):
    """`tools.VideoTools` in processes of its own."""

    ffmpeg: str
    ffprobe: str

    @property
    def library(self) -> str:
        return LIBRARY

    def version(self) -> str:
        found = _VERSION.match(_answer(self.ffmpeg, "-version"))
        return found[1] if found else "unknown"

    def probe(self, path: Path) -> Contents:
        arguments = ["-show_entries", f"format=format_name:{_STREAM}", "-of", "json"]
        try:
            with self._reading(self.ffprobe, path, arguments) as run:
                found = json.load(run.output)
        except _ProgramError as error:
            _raise_of_the_system(error)
            raise _no_video() from error
        except json.JSONDecodeError as error:
            raise _no_video() from error
        streams: list[dict[str, Any]] = found.get("streams", [])
        none: dict[str, Any] = {}
        video = next((one for one in streams if one.get("codec_type") == "video"), none)
        audios = (one["codec_name"] for one in streams if one.get("codec_type") == "audio")
        if not (
            video.get("codec_name") in VIDEO_CODECS and "pix_fmt" in video and video.get("width")
        ):
            raise _no_video()
        return Contents(
            container=found["format"]["format_name"].partition(",")[0],
            codec=video["codec_name"],
            profile=video.get("profile", ""),
            pixel_format=video["pix_fmt"],
            columns=video["width"],
            rows=video["height"],
            rate=_rate(video),
            start=video.get("start_pts", 0) * Fraction(video["time_base"]),
            audio=next((codec for codec in audios if codec in AUDIO_CODECS), None),
        )

    def packets(self, path: Path) -> Iterator[Packet]:
        arguments = ["-select_streams", "v:0", "-show_entries", "packet=pos,size"]
        with self._reading(self.ffprobe, path, [*arguments, *_LINES]) as run:
            for values in _listed(run.output, "size"):
                yield Packet(int(values["pos"]), int(values["size"]))

    def pictures(self, path: Path) -> Iterator[Picture]:
        """The places and times are told by ffprobe, the digests by ffmpeg: it is decoded twice."""
        shown = ["-select_streams", "v:0", "-show_entries", "frame=pts,pkt_pos", *_LINES]
        hashed = ["-map", "0:v:0", "-fps_mode", "passthrough", "-f", "framehash"]
        decoder = _decoder()
        agree = True
        try:
            with (
                self._reading(self.ffprobe, path, shown, decoder) as places,
                self._reading(
                    self.ffmpeg, path, [*hashed, "-hash", "murmur3", "-"], decoder
                ) as hashes,
            ):
                digests = (line for line in hashes.output if not line.startswith("#"))
                for values, line in zip_longest(_listed(places.output, "pts"), digests):
                    if values is None or line is None:
                        agree = False
                        continue
                    yield Picture(
                        _number(values.get("pkt_pos")),
                        _number(values.get("pts")),
                        line.rpartition(",")[2].strip().encode(),
                    )
        except _ProgramError as error:
            _raise_of_the_system(error)
            raise DamagedError(str(error)) from error
        if not agree:
            raise DamagedError("two decodings differ in their number of pictures")
        if _DAMAGE.search(hashes.complaint):
            raise DamagedError("its decoder complained")

    def copy(self, source: Path, target: Path, contents: Contents) -> None:
        arguments = ["-c:v", "copy", *_audio(contents), *_shifted(contents)]
        self._write(source, target, arguments)

    def encode(self, source: Path, target: Path, contents: Contents, rate: Fraction | None) -> None:
        if not self._has_encoder():
            raise ImagingError(
                ErrorCode.MISSING_EXTRA,
                f"the program ffmpeg was built without the encoder {ENCODER}: install one with it, "
                "or the extra 'video'",
                LIBRARY,
            )
        options = {f"{name}:v": value for name, value in ENCODER_OPTIONS.items()}
        # A full range becomes a limited one: not every player knows the other.
        filters = ["scale=out_range=tv", "format=yuv420p"]
        if rate:
            filters += [f"settb={rate.denominator}/{rate.numerator}", "setpts=N"]
        arguments = ["-c:v", ENCODER, "-fps_mode", "passthrough", *_flags(options)]
        arguments += ["-vf", ",".join(filters), "-threads:v", str(THREADS), *_audio(contents)]
        # Of its own accord ffmpeg would round times to the rate that the stream says it has.
        arguments += [
            "-enc_time_base",
            f"{rate.denominator}:{rate.numerator}" if rate else f"1:{TICKS}",
        ]
        if not rate:
            arguments += _shifted(contents)
        self._write(source, target, arguments, _decoder())

    def _has_encoder(self) -> bool:
        return "Encoder libx264" in _answer(self.ffmpeg, "-h", f"encoder={ENCODER}")

    def _write(
        self, source: Path, target: Path, arguments: Sequence[str], decoder: Sequence[str] = ()
    ) -> None:
        mapped = ["-map", "0:v:0", "-map_metadata", "-1", "-map_chapters", "-1"]
        written = [
            *mapped, *arguments, "-fflags", "+bitexact", "-flags:v", "+bitexact",
            "-video_track_timescale", str(TICKS), "-movflags", "+faststart",
            "-f", "mp4", "-y", f"file:{target}",
        ]  # fmt: skip
        try:
            with self._reading(self.ffmpeg, source, written, decoder) as run:
                run.output.read()
        except _ProgramError as error:
            _raise_of_the_system(error)
            raise ImagingError(ErrorCode.DECODER_ERROR, f"ffmpeg {error}", LIBRARY) from error

    @contextmanager
    def _reading(
        self, program: str, path: Path, arguments: Sequence[str], decoder: Sequence[str] = ()
    ) -> "Iterator[_Run]":
        """A program that reads a stream. What it complained of is there in the end.

        Raises:
            _ProgramError: it ended with an error, after all that it had written was read.
        """
        source = ["-v", "level+warning", *decoder, *_flags(INPUT_OPTIONS), "-i", f"file:{path}"]
        quiet = ["-nostdin"] if program == self.ffmpeg else []
        with tempfile.TemporaryFile("w+", errors="replace") as complaints:
            process = subprocess.Popen(  # noqa: S603 - found on the search path
                [program, "-hide_banner", *quiet, *source, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=complaints,
                text=True,
                errors="replace",
                # Safe: a worker has one thread, and the function calls nothing but prctl.
                preexec_fn=partial(die_with_parent, signal.SIGKILL),  # noqa: PLW1509
            )
            assert process.stdout
            run = _Run(process.stdout)
            try:
                yield run
                process.stdout.read()
                status = process.wait()
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
                process.stdout.close()
                process.wait()
            complaints.seek(0)
            run.complaint = complaints.read(_COMPLAINT_LENGTH)
            if status:
                raise _ProgramError(run.complaint, status)


class _Run:
    """A program at work."""

    def __init__(self, output: IO[str]) -> None:
        self.output = output
        self.complaint = ""


_LINES: Final = ("-of", "compact=p=0")


@cache
def find_programs() -> FfmpegTools | None:
    """The programs on the search path; None when one is missing."""
    ffmpeg, ffprobe = shutil.which("ffmpeg"), shutil.which("ffprobe")
    return FfmpegTools(ffmpeg, ffprobe) if ffmpeg and ffprobe else None


def _audio(contents: Contents) -> list[str]:
    if contents.audio is None:
        return ["-an"]
    coded = (
        ["copy"] if contents.audio == "aac" else ["aac", "-b:a", str(AUDIO_BIT_RATE), "-ac", "2"]
    )
    return ["-map", "0:a:0", "-c:a", *coded]


def _shifted(contents: Contents) -> list[str]:
    """Start with the first picture, though there may be sound before it."""
    return ["-copyts", "-output_ts_offset", f"{-float(contents.start):.6f}"]


def _decoder() -> list[str]:
    return [*_flags(DECODER_OPTIONS), "-threads", str(THREADS)]


def _flags(options: Mapping[str, str]) -> list[str]:
    return [text for name, value in options.items() for text in (f"-{name}", value)]


def _answer(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603


def _listed(lines: Iterable[str], needed: str) -> Iterator[dict[str, str]]:
    """``pts=0|pkt_pos=48`` as a mapping; lines on other things are left out."""
    for line in lines:
        values = dict(part.split("=", 1) for part in line.strip().split("|") if "=" in part)
        if needed in values:
            yield values


def _number(text: str | None) -> int | None:
    return int(text) if text and text.lstrip("-").isdecimal() else None


def _rate(video: Mapping[str, str]) -> Fraction | None:
    for name in ("avg_frame_rate", "r_frame_rate"):
        with suppress(KeyError, ValueError, ZeroDivisionError):
            if rate := Fraction(video[name]):
                return rate
    return None


def _ending(status: int) -> str:
    return f"exit status {status}" if status >= 0 else signal.Signals(-status).name


def _raise_of_the_system(error: _ProgramError) -> None:
    """Tell what the system refused, and crashes, from what is wrong with the stream."""
    if _NO_MEMORY.search(error.complaint):
        raise MemoryError from error
    if error.status < 0:
        raise ImagingError(ErrorCode.CRASHED, f"a program {error}", LIBRARY) from error
    if error.status in _NOT_STARTED:
        raise ImagingError(
            ErrorCode.MISSING_EXTRA,
            f"a program {error}: its installation is broken, repair it",
            LIBRARY,
        ) from error
    for number, text in _OF_THE_SYSTEM:
        if text in error.complaint:
            raise OSError(number, text) from error


def _no_video() -> ImagingError:
    return ImagingError(
        ErrorCode.DECODER_ERROR, "there is no MPEG-2, H.264 or HEVC video in the stream", LIBRARY
    )
