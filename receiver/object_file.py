"""A new file that is written from an aligned buffer, past the page cache unless it is tiny.

Whoever reads the file next does so from the disk, but may do so much later; to fill the page cache
meanwhile takes memory from those who need it, and twice the CPU time of the write itself.
"""

import errno
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

BLOCK: Final = 4096
"""Offsets, lengths and memory of direct writes are multiples of it: no disk has larger sectors."""

_OPEN: Final = os.O_RDWR | os.O_CLOEXEC
_CREATE: Final = _OPEN | os.O_CREAT | os.O_EXCL
_MODE: Final = 0o666


class ObjectFile:
    """The file of one object, from its first byte to its sync."""

    def __init__(self, path: str, *, direct: bool, spare: bool = False) -> None:
        """Create it, or take an empty file.

        Args:
            path: its name, which nothing has yet.
            direct: past the page cache, where the file system allows that.
            spare: it is there already, empty, and its entry is durable.

        Raises:
            OSError: it exists, or cannot be created; or the spare file cannot be opened.
        """
        self.path = path
        self.spare = spare
        self._length = 0
        self._direct = direct
        self._descriptor = self._open()

    def _open(self) -> int:
        flags = _OPEN if self.spare else _CREATE
        if self._direct:
            try:
                return os.open(self.path, flags | os.O_DIRECT, _MODE)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                self._direct = False
                if not self.spare:
                    self._remove()
        return os.open(self.path, flags, _MODE)

    def write(self, buffer: memoryview, size: int) -> None:
        """Append the first ``size`` bytes of a buffer of whole, aligned blocks.

        What lies behind them in the last block is overwritten. Only the last write may leave one
        incomplete.

        Raises:
            OSError: they cannot be written.
        """
        self._length += size
        if self._direct:
            whole = -(-size // BLOCK) * BLOCK
            buffer[size:whole] = bytes(whole - size)
            size = whole
        data = buffer[:size]
        while data:
            data = data[os.write(self._descriptor, data) :]
        if self._direct and self._length % BLOCK:
            os.ftruncate(self._descriptor, self._length)

    def replace(self, blocks: memoryview) -> None:
        """Write the first blocks anew.

        Raises:
            OSError: they cannot be written.
        """
        if os.pwrite(self._descriptor, blocks, 0) != len(blocks):
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    @contextmanager
    def content(self) -> Iterator[memoryview]:
        """All that was written.

        Raises:
            OSError: it cannot be read again.
        """
        with mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ) as mapped:
            view = memoryview(mapped)
            try:
                yield view
            finally:
                view.release()

    def sync(self) -> None:
        """Make the bytes durable, and close the file.

        Raises:
            OSError: they are not on disk; or somebody has removed the file, as one may that looks
                empty.
        """
        os.fsync(self._descriptor)
        if not os.fstat(self._descriptor).st_nlink:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
        self._close()

    def discard(self) -> None:
        """Close and delete it."""
        with suppress(OSError):
            self._close()
        self._remove()

    def _close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _remove(self) -> None:
        with suppress(OSError):
            Path(self.path).unlink(missing_ok=True)
