import errno
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from dicom_pipeline import supervisor as supervisor_module
from dicom_pipeline.supervisor import Part, PartFailedError, Supervisor

pytestmark = pytest.mark.service

SLEEP = (sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)")

PARENT = """
import subprocess, time
child = subprocess.Popen(["sleep", "60"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def groups() -> Iterator[list[Supervisor]]:
    """Groups that are stopped after the test, whatever happens in it."""
    started: list[Supervisor] = []
    yield started
    for group in started:
        group.stop(grace_seconds=2)


@pytest.fixture
def start(tmp_path: Path, groups: list[Supervisor]):
    def start(*parts: Part, **options: object) -> Supervisor:
        group = Supervisor(parts, tmp_path / "logs", **options)
        groups.append(group)
        return group

    return start


def step_until(group: Supervisor, reached, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, "not reached"
        group.step()
        time.sleep(0.02)


def exits(code: int) -> tuple[str, ...]:
    return (sys.executable, "-c", f"import sys; print('why it ended'); sys.exit({code})")


def test_a_part_waits_for_what_it_needs_from_outside(start):
    there = False
    group = start(Part("needy", SLEEP, may_start=lambda: there), Part("other", SLEEP))
    step_until(group, lambda: "other" in group.pids())
    assert "needy" not in group.pids()
    there = True
    step_until(group, lambda: "needy" in group.pids())


def never() -> bool:
    return False


def dead(group: Supervisor, name: str) -> bool:
    return name not in group.pids()


def test_a_part_starts_after_those_it_needs_are_ready(start):
    first_ready = False
    group = start(
        Part("first", SLEEP, ready=lambda: first_ready), Part("second", SLEEP, after=("first",))
    )
    group.step()
    group.step()
    assert set(group.pids()) == {"first"}
    first_ready = True
    step_until(group, lambda: group.ready)
    assert set(group.pids()) == {"first", "second"}


def test_a_part_that_dies_is_started_again_after_a_pause(start):
    said: list[str] = []
    clock = Clock()
    group = start(Part("one", SLEEP), say=said.append, now=clock)
    step_until(group, lambda: group.ready)
    old = group.pids()["one"]

    os.kill(old, signal.SIGKILL)
    step_until(group, lambda: bool(said))
    group.step()
    assert dead(group, "one")
    assert "signal 9" in said[0]

    clock.seconds += supervisor_module.BACKOFF_SECONDS
    step_until(group, lambda: group.ready)
    assert group.pids()["one"] != old


def test_the_pause_doubles_and_the_noise_does_not_grow_with_the_deaths(start):
    said: list[str] = []
    clock = Clock()
    group = start(Part("one", SLEEP), say=said.append, now=clock)
    for _ in range(6):
        step_until(group, lambda: group.ready)
        os.kill(group.pids()["one"], signal.SIGKILL)
        step_until(group, lambda: dead(group, "one"))
        group.step()
        clock.seconds += supervisor_module.BACKOFF_MAX_SECONDS
    assert [line.split(" in ")[1].split(" s ")[0] for line in said] == ["1", "2", "8"]


def test_a_part_that_cannot_be_started_again_just_now_is_tried_later(start, monkeypatch):
    said: list[str] = []
    clock = Clock()
    group = start(Part("one", SLEEP), say=said.append, now=clock)
    step_until(group, lambda: group.ready)
    os.kill(group.pids()["one"], signal.SIGKILL)
    step_until(group, lambda: dead(group, "one"))
    group.step()
    with monkeypatch.context() as machine:
        machine.setattr("subprocess.Popen", no_memory)
        clock.seconds += supervisor_module.BACKOFF_SECONDS
        group.step()
    assert "cannot be started now" in said[-1]
    clock.seconds += supervisor_module.BACKOFF_MAX_SECONDS
    step_until(group, lambda: group.ready)


def no_memory(*_, **__):
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def test_a_part_that_never_works_stops_the_group_with_its_last_words(start):
    clock = Clock()
    group = start(Part("one", exits(1), ready=never), now=clock)

    def run_for_ever() -> None:
        while True:
            group.step()
            clock.seconds += 1
            time.sleep(0.02)

    with pytest.raises(
        PartFailedError, match=r"one cannot be started \(exit code 1\): why it ended"
    ):
        run_for_ever()


def test_a_wrong_configuration_is_not_tried_twice(start):
    group = start(Part("one", exits(supervisor_module.CONFIGURATION_EXIT), ready=never))
    with pytest.raises(PartFailedError, match="why it ended"):
        step_until(group, lambda: False)
    assert group.log_file("one").read_text().count("why it ended") == 1


def test_stopping_ends_the_parts_and_all_that_they_started(start):
    group = start(
        Part(
            "parent",
            (
                sys.executable,
                "-c",
                PARENT,
            ),
        )
    )
    log = group.log_file("parent")
    step_until(group, lambda: log.exists() and log.read_text().strip().isdigit())
    grandchild = psutil.Process(int(log.read_text()))

    group.stop(grace_seconds=2)

    assert not group.pids()
    assert not grandchild.is_running() or grandchild.status() == psutil.STATUS_ZOMBIE


def test_a_part_that_will_not_stop_is_killed_after_the_grace(start):
    ignore = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        "print('x', flush=True); time.sleep(60)"
    )
    group = start(Part("stubborn", (sys.executable, "-c", ignore)))
    log = group.log_file("stubborn")
    step_until(group, lambda: log.exists() and log.read_text())
    begun = time.monotonic()
    group.stop(grace_seconds=0.5)
    assert time.monotonic() - begun < 5
    assert not group.pids()


def test_a_log_that_grows_is_turned_over_and_its_writer_goes_on(start, monkeypatch):
    monkeypatch.setattr(supervisor_module, "LOG_BYTES", 1000)
    writer = "import time\nwhile True: print('x' * 99, flush=True); time.sleep(0.01)"
    group = start(Part("writer", (sys.executable, "-c", writer)))
    log = group.log_file("writer")
    old = log.with_suffix(".log.1")
    step_until(group, old.exists)
    step_until(group, lambda: log.stat().st_size > 0)
    assert old.stat().st_size > 1000
    assert log.read_bytes().startswith(b"x")


def test_settings_of_a_part_reach_it(start):
    show = "import os; print(os.environ['GREETING'], flush=True); import time; time.sleep(60)"
    group = start(Part("one", (sys.executable, "-c", show), {"GREETING": "good morning"}))
    log = group.log_file("one")
    step_until(group, lambda: log.exists() and log.read_text() == "good morning\n")
