"""Both libraries say the same of the same stream."""

import shutil

import pytest

from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.video import tools
from dicom_pipeline.imaging.video.ffmpeg_tools import FfmpegTools, find_programs
from dicom_pipeline.imaging.video.pyav_tools import PyAvTools
from dicom_pipeline.imaging.video.tools import DamagedError, find_tools
from dicom_pipeline_tests.imaging.video.clips import COLUMNS, FRAMES, RATE, ROWS, clip

ELEMENTARY = ("h264-stream", "h264-stream-of-fields", "mpeg2-stream")
WITH_TIMES = ("h264-transport-stream", "h264-mp4")


@pytest.fixture
def stream(tmp_path):
    return tmp_path / "stream"


@pytest.mark.service
@pytest.mark.parametrize("name", [*ELEMENTARY, *WITH_TIMES])
def test_both_libraries_find_the_same_contents_and_the_same_order(stream, name):
    stream.write_bytes(clip(name))
    programs = find_programs()
    assert programs
    both = (PyAvTools(), programs)

    first, second = (one.probe(stream) for one in both)
    assert first == second
    assert (first.rows, first.columns, first.rate) == (ROWS, COLUMNS, RATE)
    assert first.elementary == (name in ELEMENTARY)
    pictures = [list(one.pictures(stream)) for one in both]
    assert [len(shown) for shown in pictures] == [FRAMES, FRAMES]
    if first.elementary:
        packets = [[packet.position for packet in one.packets(stream)] for one in both]
        assert packets[0] == packets[1]
        shown = [[picture.position for picture in one] for one in pictures]
        assert shown[0] == shown[1]
        assert sorted(shown[0]) == packets[0] != shown[0]
    else:
        times = [[picture.pts for picture in one] for one in pictures]
        assert times[0] == times[1] == sorted(times[0])


@pytest.mark.service
@pytest.mark.parametrize("name", ["h264-stream", "mpeg2-program-stream"])
def test_both_libraries_give_all_pictures_before_they_tell_of_damage(stream, name):
    damaged = bytearray(clip(name))
    for at in range(len(damaged) // 3, len(damaged) * 2 // 3, 400):
        damaged[at : at + 30] = bytes(reversed(range(30)))
    stream.write_bytes(damaged)

    for one in (PyAvTools(), find_programs()):
        assert one
        pictures = one.pictures(stream)
        assert next(pictures).digest
        with pytest.raises(DamagedError):
            list(pictures)


def test_pyav_comes_first():
    assert isinstance(find_tools(), PyAvTools)


def test_the_programs_are_found_where_there_is_no_pyav(monkeypatch, tmp_path):
    for name in ("ffmpeg", "ffprobe"):
        shutil.copy("/bin/true", tmp_path / name)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(__import__("sys").modules, "dicom_pipeline.imaging.video.pyav_tools", None)
    find_programs.cache_clear()

    found = find_tools()

    assert isinstance(found, FfmpegTools)
    (tmp_path / "ffprobe").unlink()
    find_programs.cache_clear()
    with pytest.raises(ImagingError) as raised:
        find_tools()
    find_programs.cache_clear()
    assert raised.value.code is ErrorCode.MISSING_EXTRA


def test_what_may_be_opened_is_listed():
    assert set(tools.ELEMENTARY) < set(tools.CONTAINERS)
    assert tools.INPUT_OPTIONS["protocol_whitelist"] == "file"
