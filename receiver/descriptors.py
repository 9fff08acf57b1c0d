"""File descriptors: many connections may be open without taking those that others need."""

import errno
import fcntl
import logging
import os
import resource
import socket
from contextlib import suppress
from typing import Final

logger = logging.getLogger(__name__)

NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors that pass once others have closed something."""

_LOW: Final = 1024
"""``select``, which pynetdicom uses, knows only descriptors below."""
_OTHERS: Final = 512
"""Of files, databases and associations."""


def parked(accepted: socket.socket) -> int:
    """The descriptor of an accepted connection, moved above those that ``select`` can use."""
    low = accepted.detach()
    with suppress(OSError):  # the process may not have so many: it stays where it is
        high = fcntl.fcntl(low, fcntl.F_DUPFD_CLOEXEC, _LOW)
        os.close(low)
        return high
    return low


def capacity(wanted: int) -> int:
    """How many connections may wait: as many as wanted, or as this process may have open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = _LOW + wanted + _OTHERS
    if soft != resource.RLIM_INFINITY and soft < need:
        soft = need if hard == resource.RLIM_INFINITY else min(need, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return wanted
    possible = max(soft - _OTHERS, soft // 4)
    if possible < wanted:
        logger.warning(
            "fewer connections may wait than RECEIVER_MAX_CONNECTIONS: raise this process's "
            "limit of open files (ulimit -n)",
            extra={"possible": possible, "wanted": wanted, "open_files": soft},
        )
    return min(wanted, possible)
