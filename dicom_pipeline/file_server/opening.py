"""From the path of a request to an open file, and never to a file outside of its root."""

import errno
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

_PART: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.~@+-]{0,254}", re.ASCII)
"""Every name that the product writes: none begins with a dot, none is ``..``."""
_PARTS_MAX: Final = 12
_NOT_THERE: Final = frozenset(
    {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO}
)
"""ELOOP: a symbolic link, which `os.O_NOFOLLOW` refuses."""

_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""`os.O_NONBLOCK`: a named pipe would hold up the request."""


class Opened(NamedTuple):
    """A regular file."""

    descriptor: int
    status: os.stat_result


def split(path: str) -> list[str] | None:
    """The parts of a relative path; None when it cannot name a file that is served."""
    parts = path.split("/")
    if len(parts) > _PARTS_MAX or not all(_PART.fullmatch(part) for part in parts):
        return None
    return parts


def open_below(root: Path, parts: Sequence[str]) -> Opened | None:
    """The regular file at ``parts`` below ``root``; None when there is none.

    The folders are opened one in another, and no symbolic link is followed below the root, so that
    what is opened lies there whatever anybody renames meanwhile. The caller closes the descriptor.

    Raises:
        OSError: it is there, or may be, and cannot be opened.
    """
    try:
        descriptor = _open(root, parts)
    except OSError as error:
        if error.errno in _NOT_THERE:
            return None
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return None
    return Opened(descriptor, status)


def _open(root: Path, parts: Sequence[str]) -> int:
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1], _FILE, dir_fd=folder)
    finally:
        os.close(folder)
