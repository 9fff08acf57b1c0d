"""One object on its way into a file of ``incoming/``: bounded memory whatever its size.

A small object stays in its association's buffer until it is complete and is then written at once,
head and all. A large one goes to its file a buffer at a time; until its head is written last, the
file begins with zeros, so that recovery can tell that it was never complete.

A head is as long as it takes for the file to end with a whole block: the end of any other must be
cut off after a direct write, for which the kernel reads it again.
"""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, Protocol

from receiver.object_file import BLOCK, ObjectFile
from receiver.part10 import HEAD_BYTES, digest_of

BUFFER_BYTES: Final = 1 << 20
"""Most images are smaller: they need one write."""
DIRECT_BYTES: Final = 1 << 14
"""Smaller files cost less by way of the page cache."""


class FileMaker(Protocol):
    """Gives an object its file."""

    def __call__(self, *, direct: bool) -> ObjectFile:
        """An empty file of ``incoming/``; ``direct``: to be written past the page cache."""


class ObjectBuffer:
    """The memory for the objects of one association, which come one after another."""

    def __init__(self, size: int = BUFFER_BYTES) -> None:
        """``size``: bytes, whole blocks, more than `HEAD_BYTES`. Pages count once they are used."""
        self.view = memoryview(mmap.mmap(-1, size))
        self.head_bytes = HEAD_BYTES
        """Of the last object's head: the next one is often as long."""


class IncomingObject:
    """The bytes of an object, in the buffer or in the file."""

    def __init__(
        self, make_file: FileMaker, transfer_syntax_uid: str, buffer: ObjectBuffer
    ) -> None:
        """Nothing is written yet.

        Args:
            make_file: gives the file once it is needed.
            transfer_syntax_uid: how the data set is encoded.
            buffer: nobody else's until the object is written or discarded.
        """
        self._make_file = make_file
        self._buffer = buffer
        self._view = buffer.view
        self.head_bytes = buffer.head_bytes
        """What is left free for the head; `fit` may still change it."""
        self._start = self._end = self.head_bytes
        self._hash = digest_of(transfer_syntax_uid)
        self._file: ObjectFile | None = None
        self._first_blocks = b""
        """Of a file that has begun: its head is still missing."""

    @property
    def path(self) -> str | None:
        """The file; None: it has not begun."""
        return None if self._file is None else self._file.path

    @property
    def spilled(self) -> bool:
        """Whether the file has begun."""
        return self._file is not None

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

    def spill(self) -> None:
        """Write the buffer, which must be full, to the file, and empty it.

        Raises:
            OSError: it cannot be written.
        """
        self._hash.update(self.in_memory)
        if self._file is None:
            self._view[: self.head_bytes] = bytes(self.head_bytes)
            self._first_blocks = bytes(self._view[: -(-self.head_bytes // BLOCK) * BLOCK])
            self._file = self._make_file(direct=True)
        self._empty_into(self._file)

    def digest(self) -> str:
        """SHA-256 (hex) of the transfer syntax UID and the data set. Ends it: call it once."""
        self._hash.update(self.in_memory)
        return self._hash.hexdigest()

    @contextmanager
    def in_file(self) -> Iterator[memoryview]:
        """The whole data set, once it has been spilled and is complete.

        Raises:
            OSError: it cannot be written, or read again.
        """
        assert self._file is not None
        self._empty_into(self._file)
        with self._file.content() as content, content[self.head_bytes :] as data_set:
            yield data_set

    def fit(self) -> None:
        """Leave as much free for the head as lets the file end with a whole block.

        Once the data set is complete: what `in_memory` has shown may lie elsewhere now.
        """
        if self._file is not None:
            return
        length = self._end - self._start
        head_bytes = HEAD_BYTES
        if head_bytes + length >= DIRECT_BYTES and not length % 2:  # like that of any head
            head_bytes += -(HEAD_BYTES + length) % BLOCK
        if head_bytes != self.head_bytes:
            end = head_bytes + length
            self._view[head_bytes:end] = self._view[self._start : self._end]
            self._start, self._end = head_bytes, end
            self.head_bytes = self._buffer.head_bytes = head_bytes

    def write(self, head: bytes) -> None:
        """Complete the file, so that `sync` makes an object of it.

        Args:
            head: `head_bytes` long.

        Raises:
            OSError: it cannot be written.
        """
        if self._file is None:
            self._view[: self.head_bytes] = head
            self._start = 0
            self._file = self._make_file(direct=self._end >= DIRECT_BYTES)
            self._empty_into(self._file)
            return
        self._empty_into(self._file)
        blocks = self._view[: len(self._first_blocks)]
        blocks[:] = self._first_blocks
        blocks[: self.head_bytes] = head
        self._file.replace(blocks)

    def sync(self) -> bool:
        """Make the file's bytes durable, and close it; it may still be discarded.

        Returns:
            whether its entry in the folder is durable, too: if not, the folder must be synced.

        Raises:
            OSError: they are not on disk.
        """
        assert self._file is not None
        self._file.sync()
        return self._file.spare

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._file is not None:
            self._file.discard()
            self._file = None

    def _empty_into(self, file: ObjectFile) -> None:
        if self._end:
            file.write(self._view, self._end)
        self._start = self._end = 0
