"""How many studies, series, instances and bytes a parent holds, counted from ``instance``."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    Update,
    bindparam,
    distinct,
    func,
    select,
    update,
)

from dicom_pipeline.catalog.tables import INSTANCE, PATIENT, SERIES, STUDY
from dicom_pipeline.table_columns import Row

Conditions = Sequence[ColumnElement[bool]]
Count = Callable[[Conditions], Select[Any]]
"""Counts something of the instances that meet the conditions."""
Held = Mapping[str, Collection[tuple[object, ...]]]
"""Keys of rows by the name of their table."""


class Parents(NamedTuple):
    """Whom an instance belongs to."""

    tenant_id: str
    patient_id: str
    study_uid: str
    series_uid: str


def parents_of(instance: Row) -> Parents:
    """Whom a row of ``instance`` belongs to."""
    return Parents(*(str(instance[name]) for name in Parents._fields))


def recount(connection: Connection, parents: Collection[Parents], held: Held) -> None:
    """Set the counts of all patients, studies and series among ``parents``.

    Each is locked before anything is counted, so that of two transactions that write instances of
    one parent, the one that counts later sees what the other has committed.

    Args:
        connection: in a transaction that has written the instances.
        parents: whom they belong to, and whom they belonged to.
        held: the keys of the rows that the transaction has written, and so locked, already.
    """
    plans = [(recounting, recounting.keys(parents)) for recounting in _RECOUNTS]
    for recounting, keys in plans:
        for key in keys:
            if key not in held.get(recounting.table, ()):
                connection.execute(recounting.lock, recounting.parameters(key))
    for recounting, keys in plans:
        if keys:
            connection.execute(recounting.update, [recounting.parameters(key) for key in keys])


class _Recounting(NamedTuple):
    """How one level is locked and counted; the key's columns are parameters ``its_…``."""

    table: str
    names: tuple[str, ...]
    lock: Select[Any]
    update: Update

    def keys(self, parents: Collection[Parents]) -> list[tuple[str, ...]]:
        return sorted({tuple(getattr(parent, name) for name in self.names) for parent in parents})

    def parameters(self, key: tuple[str, ...]) -> dict[str, str]:
        return {f"its_{name}": value for name, value in zip(self.names, key, strict=True)}


def _recount(parent: Table, counts: Mapping[str, Count]) -> _Recounting:
    names = tuple(column.name for column in parent.primary_key.columns)
    own = [parent.c[name] == bindparam(f"its_{name}") for name in names]
    its = [INSTANCE.c[name] == bindparam(f"its_{name}") for name in names]
    values = {name: count(its).scalar_subquery() for name, count in counts.items()}
    return _Recounting(
        parent.name,
        names,
        select(parent.c[names[0]]).where(*own).with_for_update(),
        update(parent).where(*own).values(values),
    )


def _instances(its: Conditions) -> Select[Any]:
    return select(func.count()).select_from(INSTANCE).where(*its)


def _bytes(its: Conditions) -> Select[Any]:
    return select(func.coalesce(func.sum(INSTANCE.c.file_size), 0)).where(*its)


def _studies(its: Conditions) -> Select[Any]:
    return select(func.count(distinct(INSTANCE.c.study_uid))).where(*its)


def _series(its: Conditions) -> Select[Any]:
    # By the key of `series`: a UID that two studies use is two series.
    keys = select(INSTANCE.c.study_uid, INSTANCE.c.series_uid).where(*its).distinct()
    return select(func.count()).select_from(keys.subquery())


_CONTENT: Final[Mapping[str, Count]] = {"number_of_instances": _instances, "total_size": _bytes}
_RECOUNTS: Final = (
    _recount(PATIENT, {"number_of_studies": _studies, "number_of_series": _series, **_CONTENT}),
    _recount(STUDY, {"number_of_series": _series, **_CONTENT}),
    _recount(SERIES, _CONTENT),
)
