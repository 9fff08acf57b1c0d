"""How many studies, series, instances and bytes a parent holds, counted from ``instance``."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
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

_INSTANCES_A_SELECT: Final = 500

Conditions = Sequence[ColumnElement[bool]]
Count = Callable[[Conditions], Select[Any]]
"""Counts something of the instances that meet the conditions."""


class Parents(NamedTuple):
    """Whom an instance belongs to."""

    tenant_id: str
    patient_id: str
    study_uid: str
    series_uid: str


def parents_of(instance: Row) -> Parents:
    """Whom a row of ``instance`` belongs to."""
    return Parents(*(str(instance[name]) for name in Parents._fields))


def present_parents(connection: Connection, instances: Sequence[Row]) -> set[Parents]:
    """Whom the instances of these keys belong to now, as far as they are there."""
    by_tenant: dict[object, list[object]] = {}
    for row in instances:
        by_tenant.setdefault(row["tenant_id"], []).append(row["sop_uid"])
    statement = (
        select(*(INSTANCE.c[name] for name in Parents._fields))
        .where(
            INSTANCE.c.tenant_id == bindparam("tenant"),
            INSTANCE.c.sop_uid.in_(bindparam("sop_uids", expanding=True)),
        )
        .distinct()
    )
    return {
        Parents(*row)
        for tenant, sop_uids in by_tenant.items()
        for some in _slices(sop_uids, _INSTANCES_A_SELECT)
        for row in connection.execute(statement, {"tenant": tenant, "sop_uids": some})
    }


def recount(connection: Connection, parents: Collection[Parents]) -> None:
    """Set the counts of all patients, studies and series among ``parents``."""
    for statement, names in _RECOUNTS:
        keys = sorted({tuple(getattr(parent, name) for name in names) for parent in parents})
        if keys:
            connection.execute(
                statement,
                [{f"its_{n}": k for n, k in zip(names, key, strict=True)} for key in keys],
            )


def _slices(items: list[object], length: int) -> Iterator[list[object]]:
    return (items[start : start + length] for start in range(0, len(items), length))


def _recount(parent: Table, counts: Mapping[str, Count]) -> tuple[Update, list[str]]:
    names = [column.name for column in parent.primary_key.columns]
    own = [parent.c[name] == bindparam(f"its_{name}") for name in names]
    its = [INSTANCE.c[name] == bindparam(f"its_{name}") for name in names]
    values = {name: count(its).scalar_subquery() for name, count in counts.items()}
    return update(parent).where(*own).values(values), names


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
