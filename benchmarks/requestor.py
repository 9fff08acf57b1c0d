"""pynetdicom's own requestor, made safe for senders that must not lose a response."""

import threading
from typing import Final

from pynetdicom.association import Association

_PATIENCE_SECONDS: Final = 20.0


def keep_responses(association: Association) -> None:
    """Let nobody but the sender take a response off the queue of an established association.

    Before a request pynetdicom stops the association's thread by a flag. It may see the flag of
    the stop before, while the thread goes on and takes the response away.
    """
    association._reactor_checkpoint = _Gate()  # noqa: SLF001 - there is no public way


class _Gate(threading.Event):
    """Closed by `clear`, which returns once the association's thread stands before it."""

    def __init__(self) -> None:
        super().__init__()
        self._standing = threading.Event()
        self.set()

    def clear(self) -> None:
        self._standing.clear()
        super().clear()
        self._standing.wait(_PATIENCE_SECONDS)  # in vain when the association has ended

    def wait(self, _timeout: float | None = None) -> bool:
        while not super().wait(0.001):
            self._standing.set()
        return True
