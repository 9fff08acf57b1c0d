"""Asset keys and groups: how the flow is named in the lineage."""

from typing import Final

import dagster as dg

RECEIVED_OBJECTS: Final = dg.AssetKey(["receiver", "received_objects"])


def queue_key(topic: str) -> dg.AssetKey:
    """The external asset of a queue."""
    return dg.AssetKey(["queues", topic])


def catalog_key(table: str) -> dg.AssetKey:
    """The asset of a catalog table."""
    return dg.AssetKey(["catalog", table])


def warehouse_key(table: str) -> dg.AssetKey:
    """The asset of a warehouse table."""
    return dg.AssetKey(["warehouse", table])
