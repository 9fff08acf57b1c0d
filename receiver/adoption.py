"""What receivers of this home have left that do not run any more, perhaps under another name.

A node's name may be the name of a container: the next one has another, and nobody would open the
outbox of the first again.
"""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path

from dicom_pipeline.errors import PipelineError
from dicom_pipeline.storage import INCOMING
from receiver.failures import described
from receiver.locking import NodeInUseError, NodeLock
from receiver.outbox import Outbox, OutboxInUseError
from receiver.recovery import recover

logger = logging.getLogger(__name__)


def adopt_orphans(root: Path, outbox: Outbox) -> None:
    """Move the events of outboxes that nobody holds into ``outbox``, and finish their receipts.

    Their files stay, empty, with their clocks: a receiver may come back under its old name. What
    fails is logged and left for the next call.

    Args:
        root: the storage root.
        outbox: this receiver's, whose folder is searched for others.
    """
    for path in sorted(outbox.path.parent.glob("*.db")):
        if path == outbox.path:
            continue
        try:
            with closing(Outbox(path)) as orphan, closing(NodeLock(root / INCOMING / path.stem)):
                events = outbox.take_over(orphan)
                receipts = recover(root, root / INCOMING / path.stem, outbox)
        except (OutboxInUseError, NodeInUseError):
            continue  # its receiver lives, in this home or another
        except (PipelineError, OSError, sqlite3.Error) as error:
            logger.error(  # noqa: TRY400 - a traceback may quote values
                "orphaned outbox not adopted", extra={"outbox": path.name, **described(error)}
            )
            continue
        if events or any(receipts):
            logger.warning(
                "orphaned outbox adopted",
                extra={"outbox": path.name, "events": events, **receipts._asdict()},
            )
