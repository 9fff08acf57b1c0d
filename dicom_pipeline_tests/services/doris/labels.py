"""Transactions by their labels: a label that was used is not used again."""

import threading
import time
from dataclasses import dataclass
from itertools import count

RUNNING, PRECOMMITTED, FINISHED, ABORTED = "RUNNING", "PRECOMMITTED", "FINISHED", "ABORTED"


@dataclass
class Transaction:
    """One load. ``until``: when a load whose backend is gone is given up (time.monotonic)."""

    number: int
    label: str
    status: str = RUNNING
    until: float | None = None


class Labels:
    """The labels of one database."""

    def __init__(self) -> None:
        self._transactions: dict[str, Transaction] = {}
        self._lock = threading.Lock()
        self._numbers = count(10001)

    def begin(self, label: str) -> tuple[Transaction, bool]:
        """The transaction of a label, and whether it is a new one."""
        with self._lock:
            old = self._transactions.get(label)
            if old is not None:
                if old.until is not None and time.monotonic() >= old.until:
                    old.status = ABORTED
                if old.status != ABORTED:
                    return old, False
            new = Transaction(next(self._numbers), label)
            self._transactions[label] = new
            return new, True

    def put(self, label: str, status: str, *, seconds: float | None = None) -> None:
        """Pretend that a label is there; given up after ``seconds``."""
        transaction, _ = self.begin(label)
        transaction.status = status
        transaction.until = None if seconds is None else time.monotonic() + seconds

    def __getitem__(self, label: str) -> Transaction:
        return self._transactions[label]

    def __iter__(self):
        return iter(dict(self._transactions))
