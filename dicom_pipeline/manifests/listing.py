"""The list of a tenant's studies: what the viewer shows before one is chosen."""

from typing import Final

import msgspec

from dicom_pipeline.catalog import Catalog
from dicom_pipeline.manifests.addresses import manifest_name
from dicom_pipeline.manifests.attributes import OF_PATIENT, attributes, column_names, person_name
from dicom_pipeline.table_columns import Row

LISTED: Final = 2000
"""The newest studies of a tenant that the list names."""

_OF_STUDY: Final = ("StudyDate", "StudyTime", "StudyDescription", "AccessionNumber")

_TOTAL: Final = (
    "SELECT COUNT(*) AS n FROM study_manifest WHERE tenant_id = :tenant AND shown + not_shown > 0"
)
_NEWEST: Final = (
    f"SELECT study.study_uid, study.patient_id, {', '.join(column_names(_OF_STUDY))}, "  # noqa: S608 - our own names
    "study.number_of_series, study.number_of_instances, "
    "patient_name_alphabetic, patient_name_ideographic, patient_name_phonetic, "
    "patient_birth_date, patient_sex, modalities, shown, not_shown, failed "
    "FROM study JOIN study_manifest "
    "ON study_manifest.tenant_id = study.tenant_id AND study_manifest.study_uid = study.study_uid "
    "LEFT JOIN patient "
    "ON patient.tenant_id = study.tenant_id AND patient.patient_id = study.patient_id "
    "WHERE study.tenant_id = :tenant AND shown + not_shown > 0 "
    "ORDER BY study_date DESC, study_time DESC, study.study_uid "
    "LIMIT :listed"
)


def study_list(catalog: Catalog, tenant_id: str) -> bytes:
    """The list of the tenant's studies that have a manifest, the newest first, as JSON.

    Raises:
        TransientError: the catalog is away.
    """
    (total,) = catalog.query(_TOTAL, tenant=tenant_id)
    rows = catalog.query(_NEWEST, tenant=tenant_id, listed=LISTED)
    return msgspec.json.encode(
        {"tenant": tenant_id, "total": total["n"], "studies": [_listed(row) for row in rows]}
    )


def _listed(row: Row) -> dict[str, object]:
    names = (*_OF_STUDY, *OF_PATIENT)
    return {
        "StudyInstanceUID": row["study_uid"],
        "PatientName": person_name(row),
        **dict.fromkeys(names),
        **attributes(row, names),
        "ModalitiesInStudy": [one for one in str(row["modalities"]).split("\\") if one],
        "NumberOfStudyRelatedSeries": row["number_of_series"],
        "NumberOfStudyRelatedInstances": row["number_of_instances"],
        "shown": row["shown"],
        "not_shown": row["not_shown"],
        "failed": row["failed"],
        "manifest": manifest_name(str(row["study_uid"])),
    }
