"""``study_manifest``: which studies' manifests are due, and what the written ones show.

A mark is unique. It is set in the transaction that changes what a manifest says, and taken back by
its value, so that one set while the manifest was being written is never lost.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Connection, bindparam, select, text, update

from dicom_pipeline.catalog import DueManifest, Study, WrittenManifest
from dicom_pipeline.catalog.tables import INSTANCE, PATIENT, STUDY, STUDY_MANIFEST
from dicom_pipeline.clock import trace_id_for, wall_clock_us
from dicom_pipeline.table_columns import Row

_KEYS_A_SELECT: Final = 500

_INSERT: Final = "INSERT INTO study_manifest (tenant_id, study_uid, due) "
_OVERWRITE: Final = {
    "sqlite": " ON CONFLICT (tenant_id, study_uid) DO UPDATE SET due = excluded.due",
    "mysql": " ON DUPLICATE KEY UPDATE due = VALUES(due)",
}
_EVERY_STUDY: Final = "SELECT tenant_id, study_uid, :due FROM study WHERE number_of_instances > 0"

_TOLD: Final = (
    "issuer_of_patient_id",
    "patient_name_alphabetic",
    "patient_name_ideographic",
    "patient_name_phonetic",
    "patient_birth_date",
    "patient_sex",
)
"""What the manifests of a patient's studies may say of the patient."""
_PATIENTS: Final = select(
    PATIENT.c.tenant_id, PATIENT.c.patient_id, *(PATIENT.c[name] for name in _TOLD)
).where(
    PATIENT.c.tenant_id == bindparam("tenant"),
    PATIENT.c.patient_id.in_(bindparam("patients", expanding=True)),
)
_THEIR_STUDIES: Final = select(STUDY.c.tenant_id, STUDY.c.study_uid).where(
    STUDY.c.tenant_id == bindparam("tenant"),
    STUDY.c.patient_id.in_(bindparam("patients", expanding=True)),
)

_HOLDERS: Final = select(INSTANCE.c.tenant_id, INSTANCE.c.study_uid).where(
    INSTANCE.c.tenant_id == bindparam("tenant"),
    INSTANCE.c.sop_uid.in_(bindparam("objects", expanding=True)),
)

Key = tuple[str, str]
"""Tenant, and patient id or SOP Instance UID."""


def new_mark() -> str:
    """A mark that no other has: it sorts by its time."""
    return trace_id_for(wall_clock_us())


def mark(connection: Connection, studies: Collection[Study]) -> None:
    """Make the manifests of these studies due. Call it last: its rows are locked from here on."""
    if studies:
        due = new_mark()
        statement = (
            f"{_INSERT} VALUES (:tenant_id, :study_uid, :due){_OVERWRITE[connection.dialect.name]}"
        )
        connection.execute(text(statement), [{**s._asdict(), "due": due} for s in sorted(studies)])


def mark_all(connection: Connection) -> None:
    """Make the manifest of every study that has instances due, and those that were written."""
    due = {"due": new_mark()}
    connection.execute(text("UPDATE study_manifest SET due = :due"), due)
    statement = f"{_INSERT}{_EVERY_STUDY}{_OVERWRITE[connection.dialect.name]}"
    connection.execute(text(statement), due)


def due(connection: Connection, limit: int) -> list[DueManifest]:
    """The studies whose manifests are due, the oldest marks first."""
    table = STUDY_MANIFEST.c
    rows = connection.execute(
        select(table.tenant_id, table.study_uid, table.due)
        .where(table.due > "")
        .order_by(table.due, table.tenant_id, table.study_uid)
        .limit(limit)
    )
    return [DueManifest(Study(row.tenant_id, row.study_uid), row.due) for row in rows]


def note(connection: Connection, written: Iterable[WrittenManifest]) -> None:
    """Keep what these manifests show."""
    statement = _update().values(
        {name: bindparam(f"new_{name}") for name in ("modalities", "shown", "not_shown", "failed")}
    )
    rows = [
        {
            **_key(one.study),
            "new_modalities": "\\".join(one.modalities),
            "new_shown": one.shown,
            "new_not_shown": one.not_shown,
            "new_failed": one.failed,
        }
        for one in sorted(written)
    ]
    if rows:
        connection.execute(statement, rows)


def take_back(connection: Connection, marks: Iterable[DueManifest]) -> None:
    """Take back these marks where they are still the ones that were read."""
    statement = _update().where(STUDY_MANIFEST.c.due == bindparam("read")).values(due="")
    rows = [{**_key(one.study), "read": one.mark} for one in sorted(marks)]
    if rows:
        connection.execute(statement, rows)


def patients(connection: Connection, rows: Iterable[Row]) -> dict[Key, tuple[Any, ...]]:
    """What manifests may say of the patients whose rows these are, as far as they are there."""
    wanted = {(str(row["tenant_id"]), str(row["patient_id"])) for row in rows}
    return {
        (found.tenant_id, found.patient_id): tuple(found[2:])
        for tenant, some in _slices(wanted)
        for found in connection.execute(_PATIENTS, {"tenant": tenant, "patients": some})
    }


def studies_of(connection: Connection, changed: Iterable[Key]) -> set[Study]:
    """The studies of these patients."""
    return {
        Study(found.tenant_id, found.study_uid)
        for tenant, some in _slices(changed)
        for found in connection.execute(_THEIR_STUDIES, {"tenant": tenant, "patients": some})
    }


def holders(connection: Connection, renditions: Iterable[Row]) -> set[Study]:
    """The studies whose manifests name these objects: those of the index, which may lag behind."""
    objects = {(str(row["tenant_id"]), str(row["sop_uid"])) for row in renditions}
    return {
        Study(found.tenant_id, found.study_uid)
        for tenant, some in _slices(objects)
        for found in connection.execute(_HOLDERS, {"tenant": tenant, "objects": some})
    }


def _slices(keys: Iterable[Key]) -> Iterable[tuple[str, Sequence[str]]]:
    by_tenant: dict[str, list[str]] = {}
    for tenant, key in sorted(keys):
        by_tenant.setdefault(tenant, []).append(key)
    for tenant, its in by_tenant.items():
        for start in range(0, len(its), _KEYS_A_SELECT):
            yield tenant, its[start : start + _KEYS_A_SELECT]


def _update() -> Any:  # noqa: ANN401 - SQLAlchemy's type has no public name
    return update(STUDY_MANIFEST).where(
        STUDY_MANIFEST.c.tenant_id == bindparam("tenant"),
        STUDY_MANIFEST.c.study_uid == bindparam("study"),
    )


def _key(study: Study) -> Mapping[str, str]:
    return {"tenant": study.tenant_id, "study": study.study_uid}
