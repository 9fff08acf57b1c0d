"""Whether the target has every row of the source: each is looked up and compared."""

import math
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Final

import msgspec

from dicom_pipeline.moving.tables import TableCopy
from dicom_pipeline.table_columns import Row

_EXACT: Final = 1e-12
"""Relative difference of two REAL values that are the same: databases print them differently."""


class TableResult(msgspec.Struct):
    """What the comparison of one table found."""

    table: str
    rows: int = 0
    """Rows of the source."""
    same: int = 0
    """The target has the row in this version, with the same content where that can be compared."""
    newer: int = 0
    """The target has a newer row of the same key."""
    missing: int = 0
    older: int = 0
    different: int = 0
    """The target's row has the same version and another content."""

    @property
    def good(self) -> bool:
        """Whether the target has each row, or a newer one."""
        return self.rows == self.same + self.newer


def compare(copy: TableCopy, advance: Callable[[int], None]) -> TableResult:
    """Look up every row of the source in the target.

    ``advance`` is told how many were compared, after each batch.
    """
    result = TableResult(copy.name)
    key = copy.columns.key
    for rows in copy.source.batches(copy.columns.name, copy.compared, key, ()):
        found = _look_up(copy, rows)
        for row in rows:
            _judge(row, found.get(_identity(copy, row)), result)
        advance(result.rows)
    return result


def _look_up(copy: TableCopy, rows: Sequence[Row]) -> dict[tuple[object, ...], Row]:
    """The target's rows of the same keys.

    Column by column, not as tuples: only so do all databases use the primary key. ``rows`` come in
    the order of their keys, so that few conditions tell many of them.
    """
    parameters: dict[str, object] = {}

    def bound(value: object) -> str:
        name = f"k{len(parameters)}"
        parameters[name] = value
        return f":{name}"

    *leading, last = copy.columns.key
    conditions = []
    for shared, group in groupby(rows, key=lambda row: [row[name] for name in leading]):
        terms = [f"{name} = {bound(value)}" for name, value in zip(leading, shared, strict=True)]
        terms.append(f"{last} IN ({', '.join(bound(row[last]) for row in group)})")
        conditions.append(f"({' AND '.join(terms)})")
    sql = (
        f"SELECT {', '.join(copy.compared)} FROM {copy.columns.name}"  # noqa: S608 - our own names
        f" WHERE {' OR '.join(conditions)}"
    )
    return {_identity(copy, row): row for row in copy.query(sql, **parameters)}


def _identity(copy: TableCopy, row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in copy.columns.key)


def _judge(wanted: Row, found: Row | None, result: TableResult) -> None:
    result.rows += 1
    if found is None:
        result.missing += 1
    elif _order(found) < _order(wanted):
        result.older += 1
    elif _order(found) > _order(wanted):
        result.newer += 1
    elif all(_same(found[name], value) for name, value in wanted.items()):
        result.same += 1
    else:
        result.different += 1


def _order(row: Row) -> tuple[int, str]:
    return int(str(row["row_version"])), str(row["trace_id"])


def _same(one: object, other: object) -> bool:
    if isinstance(one, float) or isinstance(other, float):
        return (
            isinstance(one, int | float)
            and isinstance(other, int | float)
            and math.isclose(one, other, rel_tol=_EXACT)
        )
    return one == other or _same_json(one, other)


def _same_json(one: object, other: object) -> bool:
    """A column of JSON may come back written in another way."""
    if not (isinstance(one, str) and isinstance(other, str) and one[:1] in {"{", "["}):
        return False
    try:
        return bool(msgspec.json.decode(one) == msgspec.json.decode(other))
    except msgspec.DecodeError:
        return False
