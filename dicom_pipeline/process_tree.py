"""Processes that end together, even when the one in charge is killed outright.

Linux offers two means (prctl(2)): a child may ask for a signal when its parent dies, and a process
may adopt the orphans among its descendants. Elsewhere both calls do nothing.
"""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Final

import psutil

PR_SET_PDEATHSIG: Final = 1
PR_SET_CHILD_SUBREAPER: Final = 36
_ENDING: Final = (signal.SIGTERM, signal.SIGINT)
_ROUNDS: Final = 5
"""Those that are being ended may have started others meanwhile."""

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent(signal_number: int = signal.SIGTERM) -> None:
    """Ask for a signal when the parent dies. Safe between fork and exec."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, int(signal_number), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent dies, so that they can be found."""
    if _libc is not None:
        _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants(pids: Iterable[int]) -> list[psutil.Process]:
    """The processes with these ids and all below them that are alive."""
    found: dict[int, psutil.Process] = {}
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            for one in (process, *process.children(recursive=True)):
                found[one.pid] = one
    return list(found.values())


def end(processes: Iterable[psutil.Process], grace_seconds: float) -> None:
    """SIGTERM, and SIGKILL for those that are still there after the grace."""
    processes = list(processes)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=grace_seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(alive, timeout=grace_seconds)


def run_kept(body: Callable[[], int], grace_seconds: float = 5) -> int:
    """Run ``body`` in a child process, and leave none of its descendants behind.

    Keeper and child watch each other: when the keeper is killed, the child gets SIGTERM; when the
    child is killed, the keeper inherits what it had started, and ends it. SIGTERM and SIGINT to
    the keeper reach the child as SIGTERM.

    Call it from the main thread, before any other thread is started.

    Returns:
        The child's exit code; 128 plus the signal's number if a signal ended it.
    """
    # A shell lets its background jobs ignore SIGINT, and others block signals. Programs inherit
    # both, and Dagster's then ignore SIGTERM too: nothing here would end.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    adopt_orphans()
    keeper = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _be_kept(body, keeper)
    for number in _ENDING:
        signal.signal(number, lambda *_: _pass_on(child))
    status = _reap_until(child)
    for _ in range(_ROUNDS):
        left = psutil.Process().children(recursive=True)
        if not left:
            break
        end(left, grace_seconds)
    return os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 128 + os.WTERMSIG(status)


def _be_kept(body: Callable[[], int], keeper: int) -> None:
    code = 1
    try:
        die_with_parent(signal.SIGTERM)
        if os.getppid() == keeper:
            code = body()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _pass_on(child: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGTERM)


def _reap_until(child: int) -> int:
    """Reap adopted orphans as they end; return the wait status of ``child``."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == child:
            return status
