"""A whole backfill, or what it would do, in figures."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, Self

from dicom_pipeline.backfill.candidates import Count, Disposition, count
from dicom_pipeline.backfill.selection import Selection
from dicom_pipeline.backfill.sending import SENT, send
from dicom_pipeline.event_log import EventLog
from dicom_pipeline.warehouse import Warehouse


class Report(NamedTuple):
    """What became of each failure that passes the selection's filters."""

    counts: list[Count]
    """``ready`` among them: what can be sent, and was not (a dry run, or the limit)."""

    @classmethod
    def of(cls, before: Sequence[Count], sent: Sequence[Count]) -> Self:
        """What was there before the sending, less what was sent."""
        gone = Counter({one[1:3]: one.number for one in sent})
        left = [
            one._replace(number=one.number - gone[one[1:3]])
            if one.disposition == Disposition.READY
            else one
            for one in before
        ]
        return cls([*sent, *(one for one in left if one.number > 0)])

    def number(self, disposition: str) -> int:
        """How many objects there are of a disposition."""
        return sum(one.number for one in self.counts if one.disposition == disposition)

    def figures(self) -> dict[str, int]:
        """Numbers by disposition, and by disposition and error code, e.g. ``sent_timeout``."""
        figures: Counter[str] = Counter({SENT: 0})
        for one in self.counts:
            figures[one.disposition] += one.number
            figures[f"{one.disposition}_{one.error_code}"] += one.number
        return dict(figures)


def preview(warehouse: Warehouse, selection: Selection, now: int) -> Report:
    """What a backfill would find now; nothing is sent."""
    return Report(count(warehouse, selection, now))


def run(
    log: EventLog, warehouse: Warehouse, selection: Selection, backfill_id: str, now: int
) -> Report:
    """Count, send what is ready, and tell both; see `sending.send`."""
    before = count(warehouse, selection, now)
    return Report.of(before, send(log, warehouse, selection, backfill_id, now))
