"""Exclusive locks: whoever holds one runs, however it may end."""

import errno
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import IO, Final

from dicom_pipeline.errors import ConfigurationError
from receiver.failures import described

logger = logging.getLogger(__name__)

_POLL_SECONDS: Final = 0.05
_UNLOCKED: Final = frozenset(
    {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENOSPC, errno.EDQUOT}
)
"""The file system knows no locks, or has no room for the lock's file."""


class NodeInUseError(ConfigurationError):
    """Another receiver runs under this node's name."""


def acquire(file: IO[str], wait_seconds: float) -> None:
    """Lock an open file; the lock goes with the file's last descriptor.

    Raises:
        BlockingIOError: another process has held it for so long.
        OSError: it cannot be locked.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_POLL_SECONDS)
        else:
            return


class NodeLock:
    """The sole right to a node's folder in ``incoming/``, which all receivers of the storage share.

    Two receivers with one folder would take each other's unfinished objects for what a crash has
    left. A file system without locks, or one that is full, is no reason not to run.
    """

    def __init__(self, incoming: Path, wait_seconds: float = 0) -> None:
        """Take it; ``wait_seconds``: how long another process may still hold it.

        Raises:
            NodeInUseError: another receiver has it.
        """
        self._file: IO[str] | None = None
        self.path = path = incoming.with_name(f"{incoming.name}.lock")
        try:
            self._file = _locked(path, wait_seconds)
        except BlockingIOError as error:
            raise NodeInUseError(
                f"{incoming} belongs to another running receiver: give each its own "
                "WORKER_NODE_ID. (Of a machine that has just failed, the file server lets go after "
                "a minute or two.)"
            ) from error
        except OSError as error:
            if error.errno not in _UNLOCKED:
                raise
            logger.warning(
                "folder of this node not locked: no other receiver of this storage may have its "
                "WORKER_NODE_ID",
                extra={"lock": path.name, **described(error)},
            )

    def close(self) -> None:
        """Let go of it."""
        if self._file is not None:
            self._file.close()


def _locked(path: Path, wait_seconds: float) -> IO[str]:
    """The file, locked. To read it is enough, but over NFS.

    Open to write it would keep its disk from being remounted read-only.
    """
    try:
        return _opened(path, os.O_RDONLY, wait_seconds)
    except OSError as error:
        if error.errno != errno.EBADF:
            raise
    return _opened(path, os.O_RDWR, wait_seconds)


def _opened(path: Path, access: int, wait_seconds: float) -> IO[str]:
    file = os.fdopen(os.open(path, access | os.O_CREAT | os.O_CLOEXEC, 0o666))
    try:
        acquire(file, wait_seconds)
    except OSError:
        file.close()
        raise
    return file
