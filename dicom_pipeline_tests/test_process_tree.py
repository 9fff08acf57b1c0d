import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from dicom_pipeline.process_tree import descendants, end

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="prctl is Linux'")

# A kept body that starts a grandchild in a session of its own and prints both process ids.
KEPT = """
import os, subprocess, sys, time
from dicom_pipeline.process_tree import run_kept
def body():
    middle = subprocess.Popen(
        [sys.executable, "-c", "import subprocess, sys, time;"
         "p = subprocess.Popen(['sleep', '60'], start_new_session=True);"
         "print(p.pid, flush=True); time.sleep(60)"], start_new_session=True)
    print(os.getpid(), flush=True)
    {then}
sys.exit(run_kept(body, grace_seconds=2))
"""

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(flush=True)
time.sleep(60)
"""


def kept(then: str) -> subprocess.Popen[str]:
    code = KEPT.format(then=then)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


def two_pids(keeper: subprocess.Popen[str]) -> list[int]:
    assert keeper.stdout
    return [int(keeper.stdout.readline()) for _ in range(2)]


def gone(pid: int, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def finish(keeper: subprocess.Popen[str]) -> int:
    code = keeper.wait(20)
    if keeper.stdout:
        keeper.stdout.close()
    return code


@pytest.mark.service
def test_what_a_killed_child_had_started_is_ended_by_its_keeper():
    keeper = kept("time.sleep(60)")
    pids = two_pids(keeper)
    child = next(pid for pid in pids if psutil.Process(pid).ppid() == keeper.pid)

    os.kill(child, signal.SIGKILL)

    assert finish(keeper) == 128 + signal.SIGKILL
    assert all(gone(pid) for pid in pids)


@pytest.mark.service
def test_a_child_hears_of_its_killed_keeper():
    keeper = kept("time.sleep(60)")
    pids = two_pids(keeper)
    tree = descendants([keeper.pid])
    child = next(pid for pid in pids if psutil.Process(pid).ppid() == keeper.pid)
    try:
        keeper.kill()
        finish(keeper)
        assert gone(child)
    finally:
        end(tree, 2)


@pytest.mark.service
def test_the_keeper_returns_the_exit_code_of_its_child_and_leaves_nothing_behind():
    keeper = kept("return 3")
    assert keeper.stdout
    pids = [int(line) for line in keeper.stdout]
    assert finish(keeper) == 3
    assert all(gone(pid) for pid in pids)


@pytest.mark.service
@pytest.mark.parametrize("hinder", ["block", "ignore"])
def test_it_ends_though_its_starter_has_turned_the_signals_off(hinder):
    numbers = {signal.SIGTERM, signal.SIGINT}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, numbers if hinder == "block" else ())
    handlers = {number: signal.getsignal(number) for number in numbers}
    try:
        for number in numbers if hinder == "ignore" else ():
            signal.signal(number, signal.SIG_IGN)
        keeper = kept("time.sleep(60)")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    pids = two_pids(keeper)

    keeper.terminate()

    finish(keeper)
    assert all(gone(pid) for pid in pids)


@pytest.mark.service
def test_a_program_that_ignores_the_wish_to_end_is_killed():
    stubborn = subprocess.Popen([sys.executable, "-c", STUBBORN], stdout=subprocess.PIPE)
    assert stubborn.stdout
    stubborn.stdout.readline()
    end([psutil.Process(stubborn.pid)], grace_seconds=0.3)
    stubborn.stdout.close()
    assert gone(stubborn.pid)
    stubborn.wait(5)
