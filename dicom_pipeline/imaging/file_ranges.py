"""Bytes of an open file that are read when they are asked for, and not before.

Not mapped: a mapping of a large object would count towards the address space of a worker, and the
process would be killed if the file became shorter meanwhile.
"""

import errno
import os
from collections.abc import Iterator
from typing import Final

_BLOCK: Final = 1 << 12
_AT_ONCE: Final = 1 << 30
"""Most bytes of one call of the system, which has a limit of 2 GiB."""


class FileRange:
    """A part of an open file, with the slices and the length of `bytes`.

    Args:
        descriptor: of the file; it must stay open.
        start: position of the first byte.
        length: number of bytes, none of them behind the end of the file.
    """

    def __init__(self, descriptor: int, start: int, length: int) -> None:
        self._descriptor = descriptor
        self._start = start
        self._length = length
        self._block = b""
        self._block_at = 0

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> bytes:
        """The bytes of a slice without a step.

        Raises:
            OSError: the file cannot be read, or has become shorter.
        """
        first, stop, _ = part.indices(self._length)
        if stop - first > _BLOCK // 2:
            return self._read(first, stop - first)
        at = first - self._block_at
        if at < 0 or stop - self._block_at > len(self._block):
            self._block = self._read(first, min(_BLOCK, self._length - first))
            self._block_at, at = first, 0
        return self._block[at : at + max(0, stop - first)]

    def part(self, start: int, length: int) -> "FileRange":
        """``length`` bytes from ``start`` as a range of their own."""
        return FileRange(self._descriptor, self._start + start, length)

    def blocks(self, size: int = 1 << 20) -> Iterator[bytes]:
        """All bytes, ``size`` at a time."""
        for first in range(0, self._length, size):
            yield self[first : first + size]

    def _read(self, first: int, length: int) -> bytes:
        parts = []
        position = self._start + first
        while length > 0:
            got = os.pread(self._descriptor, min(length, _AT_ONCE), position)
            if not got:
                raise OSError(errno.EIO, "the file has become shorter while it was read")
            parts.append(got)
            position += len(got)
            length -= len(got)
        return parts[0] if len(parts) == 1 else b"".join(parts)


EMPTY: Final = FileRange(-1, 0, 0)
