"""Is every acknowledged object where it should be? The answer that "never lose an object" needs.

Used by the demonstration and by tests of the whole flow. Reads the tables only.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from dicom_pipeline.catalog import Catalog, open_catalog
from dicom_pipeline.messages import TransferStatus
from dicom_pipeline.settings import Settings
from dicom_pipeline.storage import locate
from dicom_pipeline.warehouse import Warehouse, open_warehouse

EVER: Final = "0001-01-01T00:00:00.000000Z"
"""Before all receipts."""
FAILURES: Final = (
    "SELECT tenant_id, sop_uid, error_code, reason FROM dicom_conversion_record "
    "WHERE state = 'failed'"
)
DECIDED: Final = (
    "SELECT tenant_id, sop_uid FROM dicom_object_meta "
    "WHERE transfer_status <> :pending AND created_time >= :since"
)


class Acknowledged(NamedTuple):
    """An object whose C-STORE was answered with success. Sent twice: listed twice."""

    sop_uid: str
    tenant: str


class Missing(NamedTuple):
    """Something that an acknowledged object should have and has not."""

    sop_uid: str
    tenant: str
    what: str


class Tables(NamedTuple):
    """What the tables say, by ``(sop_uid, tenant)``."""

    stored: dict[Acknowledged, str]
    """Path of a file, relative to the storage root."""
    indexed: set[Acknowledged]
    rendition: dict[Acknowledged, tuple[str, str | None]]
    """Action and error code."""
    failures: dict[Acknowledged, str]
    """Reason of a failed conversion."""
    decided_receipts: Counter[Acknowledged]
    """Receipts in ``dicom_object_meta`` whose transfer status is not pending."""


def missing(
    settings: Settings, acknowledged: Iterable[Acknowledged], *, since: str = EVER
) -> list[Missing]:
    """What the acknowledged objects lack; empty: everything is accounted for.

    Args:
        settings: where the tables and the storage root are.
        acknowledged: one entry per acknowledgement.
        since: count only receipts from this time on (UTC, ISO 8601 with µs).
    """
    tables = read_tables(settings, since=since)
    return [
        Missing(*object_, what)
        for object_, receipts in Counter(acknowledged).items()
        for what in _lacks(settings, tables, object_, receipts)
    ]


def _lacks(
    settings: Settings, tables: Tables, object_: Acknowledged, receipts: int
) -> Iterator[str]:
    if object_ not in tables.stored:
        yield "a storage record"
    elif not locate(settings.storage, tables.stored[object_]).is_file():
        yield "its file"
    if object_ not in tables.indexed:
        yield "a row in the index"
    if object_ not in tables.rendition:
        yield "a rendition decision"
    lacking = receipts - tables.decided_receipts[object_]
    if lacking > 0:
        yield f"{lacking} of {receipts} decided receipts in dicom_object_meta"


def read_tables(settings: Settings, *, since: str = EVER) -> Tables:
    """What catalog and warehouse say of all objects."""
    with open_catalog(settings) as catalog, open_warehouse(settings) as warehouse:
        stored = {
            _key(row): str(row["file_path"])
            for row in catalog.query("SELECT tenant_id, sop_uid, file_path FROM storage_record")
        }
        indexed = {_key(row) for row in catalog.query("SELECT tenant_id, sop_uid FROM instance")}
        return Tables(
            stored, indexed, _renditions(catalog), _failures(warehouse), _decided(warehouse, since)
        )


def _renditions(catalog: Catalog) -> dict[Acknowledged, tuple[str, str | None]]:
    rows = catalog.query("SELECT tenant_id, sop_uid, action, error_code FROM rendition")
    return {
        _key(row): (str(row["action"]), str(row["error_code"]) if row["error_code"] else None)
        for row in rows
    }


def _failures(warehouse: Warehouse) -> dict[Acknowledged, str]:
    rows = warehouse.query(FAILURES)
    return {_key(row): f"{row['error_code']}: {row['reason']}" for row in rows}


def _decided(warehouse: Warehouse, since: str) -> Counter[Acknowledged]:
    rows = warehouse.query(DECIDED, pending=TransferStatus.PENDING, since=since)
    return Counter(_key(row) for row in rows)


def _key(row: dict[str, object]) -> Acknowledged:
    return Acknowledged(str(row["sop_uid"]), str(row["tenant_id"]))
