"""How the messages of a queue become runs: the plan of one sensor tick, without any I/O.

The ledger is the truth about one queue: the next offset to plan of each partition, and the ranges
that were planned and are not finished. `plan` takes it from one tick to the next.
"""

from dicom_pipeline.streams.ledger import (
    Breaker,
    Ledger,
    Limits,
    Outstanding,
    RangeRequest,
    RunState,
    committed,
    decode,
    encode,
    lag,
    oldest_unprocessed,
)
from dicom_pipeline.streams.planning import Abandoned, Plan, plan

__all__ = [
    "Abandoned",
    "Breaker",
    "Ledger",
    "Limits",
    "Outstanding",
    "Plan",
    "RangeRequest",
    "RunState",
    "committed",
    "decode",
    "encode",
    "lag",
    "oldest_unprocessed",
    "plan",
]
