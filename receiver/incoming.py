"""One object on its way into a file of ``incoming/``: bounded memory whatever its size.

A small object stays in its association's buffer until it is complete and is then written at once,
head and all. A large one goes to its file a buffer at a time; until its head is written last, the
file begins with zeros, so that recovery can tell that it was never complete.
"""

import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from receiver.part10 import HEAD_BYTES, digest_of

BUFFER_BYTES: Final = 1 << 20
"""Most images are smaller: they need one write."""


class ObjectBuffer:
    """The memory for the objects of one association, which come one after another."""

    def __init__(self, size: int = BUFFER_BYTES) -> None:
        """``size``: bytes, at least twice `HEAD_BYTES`. Pages count when they are first used."""
        self.view = memoryview(mmap.mmap(-1, size))


class IncomingObject:
    """The bytes of an object, in the buffer or in the file."""

    def __init__(self, path: str, transfer_syntax_uid: str, buffer: ObjectBuffer) -> None:
        """``path``: the file, which must not exist yet."""
        self.path = path
        self._view = buffer.view
        self._start = self._end = HEAD_BYTES
        self._hash = digest_of(transfer_syntax_uid)
        self._file = -1

    @property
    def spilled(self) -> bool:
        """Whether the file has begun."""
        return self._file >= 0

    @property
    def in_memory(self) -> memoryview:
        """What the buffer holds: before a spill the data set from its first byte."""
        return self._view[self._start : self._end]

    @property
    def room(self) -> int:
        """How many bytes more fit into the buffer."""
        return len(self._view) - self._end

    def append(self, fragment: memoryview) -> None:
        """The next bytes of the data set, which must fit: see `room`."""
        end = self._end + len(fragment)
        self._view[self._end : end] = fragment
        self._end = end

    @contextmanager
    def in_file(self) -> Iterator[memoryview]:
        """The whole data set, once it has been spilled.

        Raises:
            OSError: it cannot be written, or read again.
        """
        self._write(self.in_memory)
        self._start = self._end = 0
        with mmap.mmap(self._file, 0, access=mmap.ACCESS_READ) as content:
            data_set = memoryview(content)[HEAD_BYTES:]
            try:
                yield data_set
            finally:
                data_set.release()

    def spill(self) -> None:
        """Write what the buffer holds to the file, and empty it.

        Raises:
            OSError: it cannot be written.
        """
        self._hash.update(self.in_memory)
        if not self.spilled:
            self._view[:HEAD_BYTES] = bytes(HEAD_BYTES)
            self._start = 0
            self._open()
        self._write(self._view[self._start : self._end])
        self._start = self._end = 0

    def digest(self) -> str:
        """SHA-256 (hex) of the transfer syntax UID and the data set. Ends it: call it once."""
        self._hash.update(self.in_memory)
        return self._hash.hexdigest()

    def write(self, head: bytes) -> None:
        """Complete the file, so that `sync` makes an object of it.

        Raises:
            OSError: it cannot be written.
        """
        if self.spilled:
            self._write(self.in_memory)
            os.pwrite(self._file, head, 0)
            return
        self._view[:HEAD_BYTES] = head
        self._open()
        self._write(self._view[: self._end])

    def sync(self) -> None:
        """Make the file's bytes durable, and close it.

        Raises:
            OSError: they are not on disk.
        """
        os.fsync(self._file)
        file, self._file = self._file, -1
        os.close(file)

    def discard(self) -> None:
        """Leave nothing behind."""
        if self.spilled:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1
        with suppress(OSError):
            Path(self.path).unlink(missing_ok=True)

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def _write(self, data: memoryview) -> None:
        while data:
            data = data[os.write(self._file, data) :]
