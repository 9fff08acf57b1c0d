"""Reindexing in tests: without a command line, and what is compared afterwards."""

from dicom_pipeline.reindexing import Counts, Reindexing, Scope
from dicom_pipeline.reindexing.reading import open_pool


class Silent:
    """A `reindexing.Progress` that keeps what it is told."""

    def __init__(self) -> None:
        self.shares = []
        self.reasons = []

    def read(self, counts, share):
        self.shares.append(share)

    def waiting(self, why):
        self.reasons.append(why)

    def left(self, messages):
        pass


def reindex(settings, log, *, ahead=1_000_000, progress=None, **scope) -> Counts:
    """A whole reindexing of the storage root into the queues of ``log``."""
    with open_pool(settings, 2) as pool:
        told = progress or Silent()
        reindexing = Reindexing(settings.storage, Scope(**scope), pool, log, told)
        journal = reindexing.open_journal(settings.home, {}, from_start=False)
        counts = reindexing.publish(journal, ahead)
        journal.remove()
    return counts


def forget_tables(home) -> None:
    """Lose queues, catalog and warehouse of an embedded home."""
    for name in ("events.db", "catalog.db", "warehouse.db"):
        for path in home.glob(f"{name}*"):
            path.unlink()


NOT_REBUILT = {
    "dicom_object_meta": "duplicate_of",
}
"""By table, the column that is set in rows which cannot be had again: receipts that stored nothing,
as their bytes were there, so that no file carries them."""


def without_what_is_lost(dump, rows):
    """The dump less the rows that no file tells of.

    Args:
        dump: by table, the rows as text.
        rows: the same rows as mappings, for the tables of `NOT_REBUILT`.
    """
    lost = {
        table: {repr(row) for row in rows[table] if row[column] is not None}
        for table, column in NOT_REBUILT.items()
    }
    return {
        table: [row for row in found if row not in lost.get(table, ())]
        for table, found in dump.items()
    }
