"""Writing instances so that whoever held one before is known, also when several write at once."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import Connection, bindparam, select

from dicom_pipeline.catalog.counts import Parents, parents_of
from dicom_pipeline.catalog.tables import INSTANCE
from dicom_pipeline.sql_tables import insert_missing, upsert
from dicom_pipeline.table_columns import Row

_INSTANCES_A_SELECT: Final = 500

_Key = tuple[object, object]


class _Present(NamedTuple):
    """A row that is there."""

    parents: Parents
    order: tuple[object, object]


_PRESENT: Final = (
    select(
        INSTANCE.c.sop_uid,
        INSTANCE.c.row_version,
        INSTANCE.c.trace_id,
        *(INSTANCE.c[name] for name in Parents._fields),
    )
    .where(
        INSTANCE.c.tenant_id == bindparam("tenant"),
        INSTANCE.c.sop_uid.in_(bindparam("sop_uids", expanding=True)),
    )
    .with_for_update()
)


def store_instances(connection: Connection, rows: Sequence[Row]) -> set[Parents]:
    """Upsert ``rows``, one for each key and sorted by key; returns their old and new parents.

    Where several transactions write at a time, another may insert an object between our look and
    our insertion. So what was missing is inserted without changing what is there, which waits for
    the other and holds the row, and then looked at again.
    """
    there = _present(connection, rows)
    missing = [row for row in rows if _key(row) not in there]
    insert_missing(connection, INSTANCE, missing)
    mine = {_key(row): _order(row) for row in missing}
    there |= {
        key: present
        for key, present in _present(connection, missing).items()
        if present.order != mine[key]
    }
    upsert(connection, INSTANCE, [row for row in rows if _key(row) in there])
    return {parents_of(row) for row in rows} | {present.parents for present in there.values()}


def _present(connection: Connection, rows: Sequence[Row]) -> dict[_Key, _Present]:
    """The rows of these keys that are there, locked."""
    by_tenant: dict[object, list[object]] = {}
    for row in rows:
        by_tenant.setdefault(row["tenant_id"], []).append(row["sop_uid"])
    return {
        (tenant, found.sop_uid): _Present(
            Parents(*(getattr(found, name) for name in Parents._fields)),
            (found.row_version, found.trace_id),
        )
        for tenant, sop_uids in by_tenant.items()
        for some in _slices(sop_uids)
        for found in connection.execute(_PRESENT, {"tenant": tenant, "sop_uids": some})
    }


def _key(row: Row) -> _Key:
    return row["tenant_id"], row["sop_uid"]


def _order(row: Row) -> tuple[object, object]:
    return row["row_version"], row["trace_id"]


def _slices(items: list[object]) -> Iterator[list[object]]:
    starts = range(0, len(items), _INSTANCES_A_SELECT)
    return (items[start : start + _INSTANCES_A_SELECT] for start in starts)
