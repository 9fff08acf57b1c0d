"""Whether the receiver can take objects right now, and what to do if not."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from receiver.failures import described


class Problem(NamedTuple):
    """Why a check has failed."""

    reason: str
    remedy: str


Check = Callable[[], Problem | None]
"""None: all is well. A check may raise: then it has failed."""


def failed(checks: Mapping[str, Check]) -> dict[str, Problem]:
    """The checks that fail, by name."""
    problems = {name: _outcome(check) for name, check in checks.items()}
    return {name: problem for name, problem in problems.items() if problem is not None}


def _outcome(check: Check) -> Problem | None:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a check that cannot be made has failed
        return Problem(described(error)["error"], "see the receiver's log")


def free_bytes(root: Path) -> int:
    """Free space for an ordinary user on the file system of ``root``.

    Raises:
        OSError: the folder cannot be reached.
    """
    disk = os.statvfs(root)
    return disk.f_bavail * disk.f_frsize


def listening(is_listening: Callable[[], bool]) -> Check:
    """The port takes connections."""
    problem = Problem("the receiver does not listen", "wait for its start, or see its log")
    return lambda: None if is_listening() else problem


def not_stopping(is_stopping: Callable[[], bool]) -> Check:
    """Nobody has asked the receiver to stop."""
    problem = Problem("the receiver is stopping", "start it again")
    return lambda: problem if is_stopping() else None


def disk_has_space(free: Callable[[], int], min_free_bytes: int) -> Check:
    """The storage root is above its low-water mark."""

    def check() -> Problem | None:
        try:
            available = free()
        except OSError as error:
            return Problem(
                f"the storage root cannot be read: {error.strerror}",
                "mount it, or correct STORAGE_ROOT and its permissions",
            )
        if available >= min_free_bytes:
            return None
        return Problem(
            f"{available} bytes are free on the storage root, fewer than {min_free_bytes}",
            "free some space, or lower RECEIVER_MIN_FREE_BYTES",
        )

    return check


def storage_is_writable(incoming: Path) -> Check:
    """Files can be created: a file system that meets an error turns read-only by itself."""

    def check() -> Problem | None:
        if not os.statvfs(incoming).f_flag & os.ST_RDONLY and os.access(incoming, os.W_OK):
            return None
        return Problem(
            f"{incoming} cannot be written to",
            "mount its file system writable (see the kernel's log), or give this user the right",
        )

    return check


def outbox_takes_events(probe: Callable[[], None]) -> Check:
    """``probe`` makes a commit without an event, and raises when that fails."""

    def check() -> Problem | None:
        try:
            probe()
        except Exception as error:  # noqa: BLE001 - whatever it is, events are not taken
            return Problem(
                f"the outbox takes no events: {described(error)['error']}",
                "free some space in DICOM_PIPELINE_HOME, then restart the receiver if this stays",
            )
        return None

    return check
