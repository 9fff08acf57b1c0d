"""What is told of an association when it is over, whichever loop has served it."""

import logging

from receiver.metrics import AssociationResult, Metrics
from receiver.receipt import Sender

logger = logging.getLogger(__name__)


def tell_end(
    metrics: Metrics, sender: Sender, result: AssociationResult, objects: int, size: int
) -> None:
    """Count and log it. ``size``: bytes of the data sets of all its objects."""
    metrics.association_ended(result)
    logger.info(
        "association ended",
        extra={
            "association": sender.association,
            "calling_ae": sender.calling_ae,
            "result": result,
            "objects": objects,
            "bytes": size,
        },
    )
