"""How many studies, series, instances and bytes a parent holds, counted from ``instance``."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Select, Table, bindparam, distinct, func, select

from dicom_pipeline.catalog.tables import INSTANCE, PATIENT, SERIES, STUDY
from dicom_pipeline.sql_tables import set_counts
from dicom_pipeline.table_columns import Row

Key = tuple[object, ...]
Held = Mapping[str, Collection[Key]]
"""Keys of rows by the name of their table."""

_TENANT: Final = "tenant_id"
_KEYS_A_SELECT: Final = 100
"""Few enough that the pairs of a study and a series are as many ranges as an optimizer weighs."""


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
    """Set the counts of all patients, studies and series among ``parents`` that are there.

    Each is locked before anything is counted, so that of two transactions that write instances of
    one parent, the one that counts later sees what the other has committed.

    Args:
        connection: in a transaction that has written the instances.
        parents: whom they belong to, and whom they belonged to.
        held: the keys of the rows that the transaction has written, and so locked, already.
    """
    locked = [(level, list(level.lock(connection, parents, held))) for level in _LEVELS]
    for level, keys in locked:
        set_counts(connection, level.table, list(level.counted(connection, keys)))


class _Level(NamedTuple):
    """Patients, studies or series."""

    table: Table
    key: tuple[str, ...]
    """The columns of its key behind the tenant."""
    counts: Select[Any]
    """Columns of the key and counts; parameters ``tenant``, and a list for each name in ``key``."""

    def lock(
        self, connection: Connection, parents: Collection[Parents], held: Held
    ) -> Iterator[Key]:
        """The keys of those that are there, each locked, in a fixed order."""
        names = (_TENANT, *self.key)
        for key in sorted({tuple(getattr(parent, name) for name in names) for parent in parents}):
            if key in held.get(self.table.name, ()) or self._is_there(connection, names, key):
                yield key

    def _is_there(self, connection: Connection, names: Sequence[str], key: Key) -> bool:
        own = (self.table.c[name] == value for name, value in zip(names, key, strict=True))
        statement = select(self.table.c[_TENANT]).where(*own).with_for_update()
        return connection.execute(statement).first() is not None

    def counted(self, connection: Connection, keys: Sequence[Key]) -> Iterator[Row]:
        """The key and the counts of each."""
        names = [name for name in self.counts.selected_columns.keys() if name not in self.key]  # noqa: SIM118
        nothing = dict.fromkeys(names, 0)
        found: dict[Key, dict[str, int]] = {}
        for tenant, some in _slices(keys):
            parts = {
                name: sorted({key[number] for key in some}, key=str)
                for number, name in enumerate(self.key, start=1)
            }
            for row in connection.execute(self.counts, {"tenant": tenant, **parts}).mappings():
                counts = {name: int(row[name]) for name in names}
                found[tenant, *(row[name] for name in self.key)] = counts
        for key in keys:
            own = dict(zip((_TENANT, *self.key), key, strict=True))
            yield {**own, **found.get(key, nothing)}


def _slices(keys: Sequence[Key]) -> Iterator[tuple[object, Sequence[Key]]]:
    by_tenant: dict[object, list[Key]] = {}
    for key in keys:
        by_tenant.setdefault(key[0], []).append(key)
    for tenant, its in by_tenant.items():
        for start in range(0, len(its), _KEYS_A_SELECT):
            yield tenant, its[start : start + _KEYS_A_SELECT]


def _per_series(*key: str, more: Sequence[str] = ()) -> Select[Any]:
    """Instances and bytes of each series: the covering indexes give it without a table's row."""
    columns = [INSTANCE.c[name] for name in (*key, *more)]
    size = func.sum(INSTANCE.c.file_size)
    return (
        select(*columns, func.count().label("number_of_instances"), size.label("total_size"))
        .where(
            INSTANCE.c[_TENANT] == bindparam("tenant"),
            *(INSTANCE.c[name].in_(bindparam(name, expanding=True)) for name in key),
        )
        .group_by(*columns)
    )


def _summed(series: Select[Any], key: str, *, studies: bool = False) -> Select[Any]:
    """The series of each ``key`` summed up. A UID that two studies use is two series."""
    its = series.subquery()
    columns = [
        its.c[key],
        func.count().label("number_of_series"),
        func.sum(its.c.number_of_instances).label("number_of_instances"),
        func.sum(its.c.total_size).label("total_size"),
    ]
    if studies:
        columns.append(func.count(distinct(its.c.study_uid)).label("number_of_studies"))
    return select(*columns).group_by(its.c[key])


_LEVELS: Final = (
    _Level(
        PATIENT,
        ("patient_id",),
        _summed(
            _per_series("patient_id", more=("study_uid", "series_uid")), "patient_id", studies=True
        ),
    ),
    _Level(
        STUDY,
        ("study_uid",),
        _summed(_per_series("study_uid", more=("series_uid",)), "study_uid"),
    ),
    _Level(SERIES, ("study_uid", "series_uid"), _per_series("study_uid", "series_uid")),
)
