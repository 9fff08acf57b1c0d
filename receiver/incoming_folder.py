"""A receiver's folder of objects on their way: whose its files are, when entries are durable."""

import os
import threading
from contextlib import suppress
from pathlib import Path

from dicom_pipeline.storage import make_directories
from receiver.admission import Refusal
from receiver.object_file import ObjectFile
from receiver.spares import Spares
from receiver.statuses import Status


class IncomingFolder:
    """``incoming/<worker node>/``. May be used from any thread."""

    def __init__(self, path: Path) -> None:
        """Make it if need be, and start making spare files."""
        self.path = path
        self._owned: set[str] = set()
        self._lock = threading.Lock()
        make_directories(path)
        self._descriptor: int | None = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.spares = Spares(path)

    def in_flight(self) -> frozenset[str]:
        """Names of the files that are not recovery's business."""
        with self._lock:
            return frozenset(self._owned)

    def file_for(self, trace_id: str, *, direct: bool) -> ObjectFile:
        """An object's file: a spare one if there is, else one that bears its trace id.

        It is ours until `leave`.

        Raises:
            OSError: there is none.
        """
        while (spare := self.spares.take()) is not None:
            with suppress(FileNotFoundError):  # somebody has cleared the folder up
                return self._own(spare, direct=direct, spare=True)
        return self._own(f"{self.path}/{trace_id}.dcm", direct=direct, spare=False)

    def _own(self, path: str, *, direct: bool, spare: bool) -> ObjectFile:
        with self._lock:
            self._owned.add(_name_of(path))
        try:
            return ObjectFile(path, direct=direct, spare=spare)
        except OSError:
            if spare:  # nobody else will use it
                with suppress(OSError):
                    os.unlink(path)  # noqa: PTH108 - a string, as everywhere here
            self.leave(path)
            raise

    def leave(self, path: str) -> None:
        """A file is ours no more: what is left of it belongs to recovery."""
        with self._lock:
            self._owned.discard(_name_of(path))

    def sync(self) -> None:
        """Make the entries durable.

        Each association does it for itself: the journals of file systems share such syncs better
        than a queue of ours did.

        Raises:
            OSError: they are not on disk.
            Refusal: the receiver has stopped.
        """
        os.fsync(self.require_open())

    def require_open(self) -> int:
        """The folder's descriptor: what is durable here now will be finished, too.

        Raises:
            Refusal: the receiver has stopped.
        """
        descriptor = self._descriptor
        if descriptor is None:
            raise Refusal(Status.OUT_OF_RESOURCES)
        return descriptor

    def stop_giving(self) -> None:
        """Remove the spare files; objects make their own from now on."""
        self.spares.stop()

    def close(self) -> None:
        """Refuse what comes later.

        An association may go on for longer than we wait: it must not sync whatever gets the number
        next, and believe that its object is durable.
        """
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _name_of(path: str) -> str:
    return path.rpartition("/")[2]
