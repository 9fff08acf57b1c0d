"""What becomes of a video object, with each of the two libraries."""

import shutil
import struct
from fractions import Fraction

import av
import pytest

from dicom_pipeline.imaging.outcomes import Action, ErrorCode
from dicom_pipeline.imaging.transcode import render
from dicom_pipeline.imaging.video import extraction, ffmpeg_tools, tools
from dicom_pipeline.imaging.video.ffmpeg_tools import find_programs
from dicom_pipeline.imaging.video.pyav_tools import PyAvTools
from dicom_pipeline_tests.imaging.video.clips import (
    COPIED,
    FRAMES,
    H264,
    KINDS,
    RATE,
    ROWS,
    WITH_AUDIO,
    clip,
    grey,
    object_of,
    played,
    video_object,
)

PROGRAMS = ("h264-stream", "h264-transport-stream", "mpeg2-stream-of-fields", "hevc-10-bit")
"""Kinds that the programs are tried with: each takes some time to start, many times over."""


def with_programs(*names):
    """Kinds of clips with PyAV, and these with the programs as well."""
    return [
        *(("av", name) for name in KINDS),
        *(pytest.param("ffmpeg", name, marks=pytest.mark.service) for name in names),
    ]


with_both = pytest.mark.parametrize(
    "library", ["av", pytest.param("ffmpeg", marks=pytest.mark.service)], indirect=True
)


@pytest.fixture
def library(request, monkeypatch):
    """The one that is used, PyAV unless the test asks for the other."""
    if getattr(request, "param", "av") == "ffmpeg":
        found = find_programs()
        assert found, "ffmpeg is not installed: run `make system-packages`"
        monkeypatch.setattr(extraction, "find_tools", lambda: found)
        return found
    return PyAvTools()


@pytest.fixture
def target(tmp_path):
    """The name under which a display copy would be."""
    return tmp_path / "renditions" / "study" / "1.2.3~17.dcm"


@pytest.fixture
def video(target):
    return target.with_name("1.2.3~17.mp4")


def error_code(source, target):
    outcome = render(source, target)
    assert outcome.action is Action.FAIL, outcome
    assert outcome.error is not None
    assert not target.parent.exists() or list(target.parent.iterdir()) == []
    return outcome.error.code


def boxes(path):
    """The names of the boxes of an mp4 file in their order."""
    content, names = path.read_bytes(), []
    while content:
        size, name = struct.unpack(">L4s", content[:8])
        names.append(name.decode())
        content = content[size:]
    return names


@pytest.mark.parametrize(("library", "name"), with_programs(*PROGRAMS), indirect=["library"])
def test_every_frame_is_shown_at_its_time_by_any_browser(library, tmp_path, target, video, name):
    outcome = render(object_of(tmp_path / "object.dcm", name), target)

    assert (outcome.action, outcome.error, outcome.frames) == (Action.EXTRACT_VIDEO, None, FRAMES)
    frames = played(video)
    assert [round(float(frame.seconds * RATE), 2) for frame in frames] == list(range(FRAMES))
    # Though coded with loss twice, a grey is still nearest to its own.
    assert [round((frame.grey - grey(0)) / 5) for frame in frames] == list(range(FRAMES))

    assert outcome.file_size == video.stat().st_size
    assert boxes(video)[:2] == ["ftyp", "moov"]  # a browser need not ask for the end first
    with av.open(str(video)) as file:
        context = file.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        audio = [one.codec_context.name for one in file.streams.audio]
    assert audio == (["aac"] if name in WITH_AUDIO else [])
    copied = "its H.264 stream as it is" in outcome.reason
    assert copied == (name in COPIED)
    assert outcome.target_ts == (KINDS[name].syntax if copied else H264)


@with_both
def test_a_copy_has_the_very_pixels_of_the_stream(library, tmp_path, target, video):
    def pixels(path):
        with av.open(str(path)) as file:
            return [frame.to_ndarray().tobytes() for frame in file.decode(video=0)]

    source = tmp_path / "stream.h264"
    source.write_bytes(clip("h264-stream"))

    render(object_of(tmp_path / "object.dcm", "h264-stream"), target)

    assert pixels(video) == pixels(source)


@pytest.mark.parametrize("name", ["h264-stream", "h264-mp4", "mpeg2-program-stream"])
def test_fragments_are_joined(library, tmp_path, target, video, name):
    whole = tmp_path / "whole.mp4"
    render(object_of(tmp_path / "object.dcm", name), target)
    video.rename(whole)

    outcome = render(object_of(tmp_path / "object.dcm", name, fragments=7), target)

    assert outcome.error is None
    assert video.read_bytes() == whole.read_bytes()


def test_nothing_but_the_video_is_left_and_a_replay_gives_the_same_bytes(
    library, tmp_path, target, video
):
    for name in ("h264-stream", "mpeg2-stream"):
        source = object_of(tmp_path / "object.dcm", name)
        render(source, target)
        first = video.read_bytes()
        render(source, target)
        assert video.read_bytes() == first
        assert list(target.parent.iterdir()) == [video]


# Time


@pytest.mark.parametrize(
    ("name", "attributes", "rate"),
    [
        ("h264-stream", {"FrameTime": "33.37"}, Fraction(30_000, 1001)),
        ("h264-stream", {"FrameTime": None, "CineRate": 10}, Fraction(10)),
        ("h264-stream", {"FrameTime": None}, Fraction(RATE)),
        ("mpeg2-stream", {"FrameTime": "100"}, Fraction(10)),
        ("h264-mp4", {"FrameTime": "100"}, Fraction(RATE)),  # it has times of its own
    ],
)
def test_the_object_says_how_fast_a_stream_without_times_is(
    library, tmp_path, target, video, name, attributes, rate
):
    attributes = {k: v for k, v in attributes.items() if v is not None}
    source = object_of(tmp_path / "object.dcm", name, **{"FrameTime": "0", **attributes})

    assert render(source, target).error is None

    times = [frame.seconds for frame in played(video)]
    assert [float(time * rate) for time in times] == pytest.approx(range(FRAMES), abs=1e-3)
    if name == "h264-stream":  # a player that seeks to a frame's time must not show the one before
        assert all(time <= number / rate for number, time in enumerate(times))


# Damage


@pytest.mark.parametrize(
    ("library", "name"), with_programs("h264-stream", "mpeg2-program-stream"), indirect=["library"]
)
def test_a_stream_of_which_a_third_is_missing_is_truncated(library, tmp_path, target, name):
    stream = clip(name)[: len(clip(name)) * 2 // 3]

    source = video_object(tmp_path / "object.dcm", stream, KINDS[name].syntax)

    assert error_code(source, target) is ErrorCode.TRUNCATED


@pytest.mark.parametrize("name", ["h264-stream", "h264-10-bit", "h264-mp4", "mpeg2-stream"])
def test_a_stream_that_ends_within_its_last_frame_is_truncated(library, tmp_path, target, name):
    source = video_object(tmp_path / "object.dcm", clip(name)[:-40], KINDS[name].syntax)

    assert error_code(source, target) is ErrorCode.TRUNCATED


@with_both
@pytest.mark.parametrize("name", ["h264-stream", "h264-mp4", "mpeg2-stream", "hevc-stream"])
def test_a_damaged_stream_is_no_video(library, tmp_path, target, name):
    stream = bytearray(clip(name))
    for at in range(len(stream) // 3, len(stream) * 2 // 3, 500):
        stream[at : at + 30] = bytes(reversed(range(30)))

    source = video_object(tmp_path / "object.dcm", bytes(stream), KINDS[name].syntax)

    assert error_code(source, target) in {ErrorCode.DECODER_ERROR, ErrorCode.TRUNCATED}


@pytest.mark.parametrize(
    "stream",
    [
        bytes(range(256)) * 40,
        bytes(5000),
        b"\0\0\1",
        b"#EXTM3U\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile /etc/hostname\n",
        b"RIFF\x24\0\0\0WAVEfmt ",
    ],
    ids=["garbage", "zeros", "start-code", "playlist", "list-of-files", "sound"],
)
@with_both
def test_what_is_no_video_is_never_opened(library, tmp_path, target, stream):
    source = video_object(tmp_path / "object.dcm", stream)

    assert error_code(source, target) is ErrorCode.DECODER_ERROR


def test_an_object_without_a_stream_is_truncated(library, tmp_path, target):
    assert error_code(video_object(tmp_path / "a.dcm", b""), target) is ErrorCode.TRUNCATED
    source = object_of(tmp_path / "b.dcm", "h264-stream")
    source.write_bytes(source.read_bytes()[:-1000])
    assert error_code(source, target) in {ErrorCode.TRUNCATED, ErrorCode.UNREADABLE_OBJECT}


@with_both
def test_a_failure_names_the_library_and_its_version(library, tmp_path, target):
    outcome = render(video_object(tmp_path / "object.dcm", bytes(5000)), target)

    assert outcome.error is not None
    assert (outcome.error.library, outcome.error.library_version) == (
        library.library,
        library.version(),
    )


# What the attributes say


def test_one_frame_in_a_hundred_may_be_missing_and_more_be_there(library, tmp_path, target):
    less = render(
        object_of(tmp_path / "object.dcm", "h264-stream", NumberOfFrames=FRAMES + 1), target
    )
    more = render(
        object_of(tmp_path / "object.dcm", "h264-stream", NumberOfFrames=FRAMES - 9), target
    )

    assert (less.frames, more.frames) == (FRAMES, FRAMES)
    assert f"{FRAMES} frames where NumberOfFrames says {FRAMES + 1}" in less.reason
    two = object_of(tmp_path / "object.dcm", "h264-stream", NumberOfFrames=FRAMES + 2)
    target.with_suffix(".mp4").unlink()
    assert error_code(two, target) is ErrorCode.TRUNCATED


def test_the_size_is_the_objects_but_for_whole_macroblocks(library, tmp_path, target):
    padded = render(object_of(tmp_path / "object.dcm", "h264-stream", Rows=ROWS - 8), target)
    target.with_suffix(".mp4").unlink()
    other = object_of(tmp_path / "object.dcm", "h264-stream", Rows=ROWS * 2)

    assert padded.error is None
    assert "columns where the object has fewer" in padded.reason
    assert error_code(other, target) is ErrorCode.MISMATCH


# Proof


@with_both
def test_a_copy_in_the_order_of_coding_is_found_out_and_encoded_instead(
    library, tmp_path, target, video, monkeypatch
):
    def as_coded(packets, shown, rate):
        step = int(tools.TICKS / rate)
        return [(number * step, number * step) for number, _ in enumerate(packets)]

    monkeypatch.setattr(extraction, "time_stamps", as_coded)

    outcome = render(object_of(tmp_path / "object.dcm", "h264-stream"), target)

    assert "encoded as H.264" in outcome.reason
    greys = [frame.grey for frame in played(video)]
    assert greys == sorted(greys)


@with_both
def test_a_copy_with_other_pictures_is_found_out(library, tmp_path, target, monkeypatch):
    other = tmp_path / "other.mp4"
    other.write_bytes(clip("h264-mp4", FRAMES)[:])
    copies = type(library)

    def wrong(self, source, target, contents):
        shutil.copy(other, target)

    monkeypatch.setattr(copies, "copy", wrong)

    outcome = render(object_of(tmp_path / "object.dcm", "h264-without-b-frames"), target)

    assert "encoded as H.264" in outcome.reason


# No library


def test_without_a_library_the_failure_says_what_to_install(tmp_path, target, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    monkeypatch.delitem(
        __import__("sys").modules, "dicom_pipeline.imaging.video.pyav_tools", raising=False
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    find_programs.cache_clear()

    outcome = render(object_of(tmp_path / "object.dcm", "h264-stream"), target)

    find_programs.cache_clear()
    assert outcome.error is not None
    assert outcome.error.code is ErrorCode.MISSING_EXTRA
    assert "ffmpeg" in outcome.error.reason
    assert "'video'" in outcome.error.reason
    assert not target.parent.exists()


@pytest.mark.service
def test_an_ffmpeg_without_the_encoder_is_a_missing_extra(tmp_path, target, monkeypatch):
    found = find_programs()
    monkeypatch.setattr(extraction, "find_tools", lambda: found)
    monkeypatch.setattr(ffmpeg_tools, "ENCODER", "none")

    copied = render(object_of(tmp_path / "object.dcm", "h264-stream"), target)
    assert copied.error is None
    target.with_suffix(".mp4").unlink()
    source = object_of(tmp_path / "object.dcm", "hevc-stream")
    assert error_code(source, target) is ErrorCode.MISSING_EXTRA
