"""How many studies, series, instances and bytes a parent holds, counted from ``instance``."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Connection,
    Table,
    Update,
    bindparam,
    distinct,
    func,
    select,
    update,
)

from dicom_pipeline.catalog.tables import INSTANCE, PATIENT, SERIES, STUDY
from dicom_pipeline.columns import Row

_INSTANCES_A_SELECT: Final = 500


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


def _recount(parent: Table, counts: dict[str, ColumnElement[int]]) -> tuple[Update, list[str]]:
    names = [column.name for column in parent.primary_key.columns]
    own = [parent.c[name] == bindparam(f"its_{name}") for name in names]
    its = [INSTANCE.c[name] == bindparam(f"its_{name}") for name in names]
    values = {
        name: select(count).select_from(INSTANCE).where(*its).scalar_subquery()
        for name, count in counts.items()
    }
    return update(parent).where(*own).values(values), names


_INSTANCES: Final[dict[str, ColumnElement[int]]] = {
    "number_of_instances": func.count(),
    "total_size": func.coalesce(func.sum(INSTANCE.c.file_size), 0),
}
_SERIES: Final[dict[str, ColumnElement[int]]] = {
    "number_of_series": func.count(distinct(INSTANCE.c.series_uid))
}
_STUDIES: Final[dict[str, ColumnElement[int]]] = {
    "number_of_studies": func.count(distinct(INSTANCE.c.study_uid))
}
_RECOUNTS: Final = (
    _recount(PATIENT, _STUDIES | _SERIES | _INSTANCES),
    _recount(STUDY, _SERIES | _INSTANCES),
    _recount(SERIES, _INSTANCES),
)
