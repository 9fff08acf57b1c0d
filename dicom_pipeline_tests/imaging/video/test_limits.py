"""The limits of a worker hold for what it starts."""

import time
from pathlib import Path

import psutil
import pytest

from dicom_pipeline.imaging.outcomes import ErrorCode
from dicom_pipeline.imaging.transcode import render
from dicom_pipeline.imaging.video import extraction
from dicom_pipeline.imaging.video.ffmpeg_tools import FfmpegTools, find_programs
from dicom_pipeline.workers import LimitedPool, TaskFailure
from dicom_pipeline_tests.imaging.video.clips import object_of

pytestmark = pytest.mark.service
MEMORY = 2 << 30


def probe(program):
    """To be called in a worker."""
    return FfmpegTools(program, program).probe(Path("/dev/null"))


def render_with_programs(pair):
    """To be called in a worker."""
    extraction.find_tools = find_programs
    return render(*pair)


def render_with_pyav(pair):
    """To be called in a worker, where PyAV is found."""
    return render(*pair)


def gone(pid):
    for _ in range(100):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


def test_a_program_dies_with_the_worker_whose_time_is_up(tmp_path):
    program, mark = tmp_path / "ffprobe", tmp_path / "pid"
    program.write_text(f"#!/bin/sh\necho $$ > {mark}\nexec sleep 60\n")
    program.chmod(0o755)

    with LimitedPool(probe, processes=1, memory_bytes=MEMORY, seconds=3) as pool:
        (result,) = pool.map([str(program)])

    assert isinstance(result, TaskFailure)
    assert result.code == "timeout"
    assert gone(int(mark.read_text()))


@pytest.mark.parametrize("function", [render_with_programs, render_with_pyav])
@pytest.mark.parametrize("name", ["h264-stream", "hevc-stream"])
def test_a_worker_with_its_limit_on_memory_makes_videos(tmp_path, function, name):
    pair = (object_of(tmp_path / "object.dcm", name), tmp_path / "out" / "object.dcm")

    with LimitedPool(function, processes=1, memory_bytes=MEMORY, seconds=60) as pool:
        (result,) = pool.map([pair])

    assert not isinstance(result, TaskFailure)
    assert result.error is None


@pytest.fixture
def render_with(tmp_path, monkeypatch):
    """Renders with programs that a script stands for."""
    programs = find_programs()
    assert programs

    def render_with(script):
        path = tmp_path / "program"
        path.write_text(f"#!/bin/sh\n{script}\n".replace("PROGRAM", f'{programs.ffmpeg} "$@"'))
        path.chmod(0o755)
        tools = FfmpegTools(str(path), programs.ffprobe)
        monkeypatch.setattr(extraction, "find_tools", lambda: tools)
        source = object_of(tmp_path / "object.dcm", "hevc-stream")
        outcome = render(source, tmp_path / "out" / "object.dcm")
        assert list((tmp_path / "out").iterdir()) == []
        assert outcome.error is not None
        return outcome.error

    return render_with


@pytest.mark.parametrize("kilobytes", [150_000])
def test_too_little_memory_for_a_program_is_told(render_with, kilobytes):
    error = render_with(f"ulimit -v {kilobytes}\nexec PROGRAM")

    assert error.code is ErrorCode.LIMIT_EXCEEDED


def test_a_crash_of_a_program_is_told_and_may_be_tried_again(render_with):
    error = render_with("kill -SEGV $$")

    assert (error.code, error.retryable) == (ErrorCode.CRASHED, True)
    assert "SIGSEGV" in error.reason


def test_a_program_that_cannot_be_loaded_is_a_missing_extra(render_with):
    assert render_with("exit 127").code is ErrorCode.MISSING_EXTRA


def test_a_full_disk_is_no_fault_of_the_object(render_with):
    error = render_with(
        'case "$*" in *framehash*) exec PROGRAM;; *encoder=*) exec PROGRAM;; esac\n'
        "echo '[error] No space left on device' >&2; exit 1"
    )

    assert error.code is ErrorCode.IO_ERROR
