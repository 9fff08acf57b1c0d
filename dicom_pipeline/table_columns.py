"""What the columns of a table are: the lists from which tables, loaders and checks derive."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final, NamedTuple

import msgspec

from dicom_pipeline.errors import PermanentError
from dicom_pipeline.imaging.tag_columns import Kind, TagColumn

Row = Mapping[str, object]
"""A row: column name to text, integer, float, bool or None."""

ColumnType = type[str] | type[int] | type[float] | type[bool]

_ACCEPTED: Final[Mapping[ColumnType, tuple[type, ...]]] = {
    str: (str,),
    int: (int,),
    float: (float, int),
    bool: (bool, int),
}
_TAG_TYPES: Final[Mapping[Kind, ColumnType]] = {Kind.INTEGER: int, Kind.REAL: float}


class Column(NamedTuple):
    """One column. One that is not required holds NULL when a row does not say otherwise."""

    name: str
    type: ColumnType = str
    required: bool = False
    default: str | None = None
    """What stands for an absent value; the column is then never NULL."""


class TableColumns(msgspec.Struct, frozen=True, dict=True):
    """The columns of one table, its key first where the table has no given order."""

    name: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The columns' names in their order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def _absent(self) -> dict[str, object]:
        return {column.name: column.default for column in self.columns}

    @cached_property
    def _defaults(self) -> dict[str, str]:
        return {c.name: c.default for c in self.columns if c.default is not None}

    @cached_property
    def _required(self) -> frozenset[str]:
        return frozenset(column.name for column in self.columns if column.required)

    @cached_property
    def _accepted(self) -> dict[str, tuple[type, ...]]:
        return {column.name: _ACCEPTED[column.type] for column in self.columns}

    def complete(self, rows: Iterable[Row]) -> list[dict[str, object]]:
        """``rows`` with every column of the table, in the table's order.

        Raises:
            PermanentError: a row has an unknown column, lacks a required one, or holds a value of
                another type. The message names the table and the column, never the value.
        """
        return [self._completed(row) for row in rows]

    def _completed(self, row: Row) -> dict[str, object]:
        unknown = row.keys() - self._absent.keys()
        if unknown:
            raise PermanentError(f"table {self.name} has no column {min(unknown)}")
        completed = {**self._absent, **row}
        for name, default in self._defaults.items():
            if completed[name] is None:
                completed[name] = default
        for name, value in completed.items():
            if value is None:
                if name in self._required:
                    raise PermanentError(f"a row for table {self.name} has no {name}")
            elif not isinstance(value, self._accepted[name]):
                raise PermanentError(
                    f"column {name} of table {self.name} cannot hold a {type(value).__name__}"
                )
        return completed

    def newest(self, rows: Iterable[Row]) -> list[Row]:
        """Of each key the row with the greatest ``(row_version, trace_id)``, sorted by key.

        Sorted, so that two writers lock the same rows in the same order.
        """
        newest: dict[tuple[object, ...], Row] = {}
        for row in rows:
            key = tuple(row[name] for name in self.key)
            rival = newest.get(key)
            if rival is None or _order(row) >= _order(rival):
                newest[key] = row
        return [newest[key] for key in sorted(newest, key=repr)]


def _order(row: Row) -> tuple[int, str]:
    version, trace_id = row["row_version"], row["trace_id"]
    assert isinstance(version, int)
    assert isinstance(trace_id, str)
    return version, trace_id


TENANT: Final = Column("tenant_id", required=True)
ORDER: Final = (Column("trace_id", required=True), Column("row_version", int, required=True))
"""What the rows of one key are ordered by."""
FINDINGS: Final = Column("findings", default="")
"""What was odd about the object: one finding a line."""


def tag_table(
    name: str, key: Sequence[str], tags: Iterable[TagColumn], more: Iterable[Column] = ()
) -> TableColumns:
    """The table of one level of the study index: its tenant and key, its tags, then ``more``."""
    columns = {tag.name: _tag(tag) for tag in tags}
    keys = [columns.pop(part)._replace(required=True) for part in key]
    return TableColumns(
        name,
        (TENANT.name, *key),
        (TENANT, *keys, *columns.values(), *ORDER, FINDINGS, *more),
    )


def _tag(tag: TagColumn) -> Column:
    # An object without PatientID belongs to the patient whose id is empty, not to none.
    default = "" if tag.name == "patient_id" else None
    parent = tag.name in {"study_uid", "series_uid"}
    return Column(tag.name, _TAG_TYPES.get(tag.kind, str), required=parent, default=default)
