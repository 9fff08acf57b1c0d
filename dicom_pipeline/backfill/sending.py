"""Publishing failed objects again, and writing down what was published."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Final

from dicom_pipeline.backfill.candidates import Candidate, Count, ready
from dicom_pipeline.backfill.selection import Selection
from dicom_pipeline.event_log import EventLog, Message
from dicom_pipeline.messages import TRANSCODE_QUEUE, encode
from dicom_pipeline.warehouse import CONVERSION_RETRY, Warehouse

SENT: Final = "sent"
"""The disposition of what a backfill has just sent."""


def send(
    log: EventLog, warehouse: Warehouse, selection: Selection, backfill_id: str, now: int
) -> list[Count]:
    """Publish the events of the selected failures that can be sent now.

    A page is published first and written down then. A crash in between lets the next backfill
    publish the same attempts again, which converts them twice and changes no row: the attempt is
    part of every row's version. Once written down, an attempt is not sent again until it is
    decided.

    Args:
        log: gets the events.
        warehouse: is asked for the failures, and is told what was sent.
        selection: which failures.
        backfill_id: by which `following.follow` finds what was sent.
        now: µs since the epoch.

    Returns:
        How many were sent, by error code and transfer syntax.

    Raises:
        TransientError: a system is away; what was sent before stays sent.
    """
    sent: Counter[tuple[str, str]] = Counter()
    for page in ready(warehouse, selection, now):
        log.publish([_message(one) for one in page])
        _write_down(warehouse, page, backfill_id, now)
        sent.update((one.error_code, one.event.transfer_syntax_uid) for one in page)
    return [Count(SENT, code, syntax, number) for (code, syntax), number in sorted(sent.items())]


def _message(candidate: Candidate) -> Message:
    return Message(TRANSCODE_QUEUE, candidate.event.key, encode(candidate.event))


def _write_down(
    warehouse: Warehouse, page: Sequence[Candidate], backfill_id: str, requested: int
) -> None:
    rows = [{**one.failure, "requested": requested, "backfill_id": backfill_id} for one in page]
    identity = hashlib.sha256()
    for one in page:
        identity.update(f"{one.event.trace_id}#{one.event.attempt}\n".encode())
    label = f"{CONVERSION_RETRY}:{backfill_id}:{identity.hexdigest()[:16]}"
    warehouse.load(CONVERSION_RETRY, rows, label)
