"""After a crash: finish what was received in full, remove what was never acknowledged.

Reads only ``incoming/<worker node>/``, which holds nothing but receipts that did not end.
"""

import logging
import mmap
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.storage import unfinished_in
from receiver.failures import described
from receiver.fields import read_fields
from receiver.outbox import OutboxError
from receiver.part10 import Head, NotPart10Error, Receipt, digest, read_head
from receiver.placement import Content, EventSink, content_of, finish
from receiver.scan import UnreadableDataSetError
from receiver.spares import clear

logger = logging.getLogger(__name__)

_REFUSALS: Final = 3
"""So often the outbox may fail in a pass: once could be the fault of a single event."""


class Recovered(NamedTuple):
    """What one pass did."""

    finished: int
    removed: int
    left: int
    """Could not be finished now: the next pass tries again."""


class _Incomplete(Exception):  # noqa: N818 - a finding, not a failure
    """The file was never complete, so it was never acknowledged."""


def recover(
    root: Path,
    incoming: Path,
    outbox: EventSink,
    in_flight: Callable[[], Collection[str]] | None = None,
) -> Recovered:
    """Go through the files in ``incoming``, but for those that are still being received.

    The pass ends when the outbox takes nothing: each file would be read in full and wait a minute.

    Args:
        root: the storage root.
        incoming: this receiver's folder of unfinished receipts.
        outbox: where events become durable.
        in_flight: tells the names of the files of this receiver. It is asked after the folder
            was listed, so that a listed file which is not among them has no owner any more. None:
            nobody receives into the folder.
    """
    if in_flight is None:
        clear(incoming)
    finished = removed = left = refused = 0
    found = sorted(unfinished_in(incoming))
    owned = frozenset(in_flight() if in_flight else ())
    for number, path in enumerate(found):
        if path.name in owned:
            continue
        try:
            trace_id = _finish_one(root, path, outbox)
        except _Incomplete as reason:
            path.unlink(missing_ok=True)
            removed += 1
            logger.warning(
                "incomplete object removed", extra={"file": path.name, "reason": str(reason)}
            )
        except FileNotFoundError:
            continue  # its receipt ended meanwhile
        except Exception as error:  # noqa: BLE001 - one file must not stop the others
            left += 1
            logger.error(  # noqa: TRY400 - a traceback may quote values
                "object not recovered yet", extra={"file": path.name, **described(error)}
            )
            refused += isinstance(error, OutboxError)
            if refused == _REFUSALS:
                left += len(found) - number - 1
                logger.error("recovery pass given up: the outbox takes nothing")  # noqa: TRY400
                break
        else:
            finished += 1
            logger.info("object recovered", extra={"trace_id": trace_id})
    return Recovered(finished, removed, left)


def _finish_one(root: Path, path: Path, outbox: EventSink) -> str:
    try:
        head = read_head(path)
    except NotPart10Error as error:
        raise _Incomplete("no complete head") from error
    if head.receipt is None:
        raise _Incomplete("no receipt in its head")
    with path.open("rb") as file:
        if path.stat().st_size != head.offset + head.receipt.length:
            raise _Incomplete("cut off")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            data_set = memoryview(content)[head.offset :]
            try:
                received = _content(head, head.receipt, data_set)
            finally:
                data_set.release()
    finish(root, path, received, outbox)
    return head.receipt.trace_id


def _content(head: Head, receipt: Receipt, data_set: memoryview) -> Content:
    syntax = head.transfer_syntax_uid
    if digest(syntax, data_set) != receipt.digest:
        raise _Incomplete("other bytes than its digest says")
    try:
        fields = read_fields(data_set, syntax, receipt.character_set)
    except UnreadableDataSetError as error:
        raise _Incomplete("its fields cannot be read") from error
    return content_of(receipt, fields, syntax, head.offset + receipt.length)
