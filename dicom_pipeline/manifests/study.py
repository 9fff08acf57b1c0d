"""The manifest of one study, from the catalog's rows: OHIF's ``dicomjson`` form.

OHIF opens nothing of a study in which one object has no file, or one series no object. So
``series`` names what can be opened, and ``not_shown``, which OHIF passes over, the rest in the same
form.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from dicom_pipeline.catalog import Catalog, Study, WrittenManifest
from dicom_pipeline.manifests.addresses import Address
from dicom_pipeline.manifests.attributes import (
    OF_INSTANCE,
    OF_PATIENT,
    OF_SERIES,
    OF_STUDY,
    attributes,
    column_names,
    person_name,
)
from dicom_pipeline.manifests.form import (
    INSTANCE_COLUMNS,
    PREFIX,
    RENDITION_COLUMNS,
    Describe,
    entry,
)
from dicom_pipeline.table_columns import Row

MODALITIES: Final = 12
"""More than so many modalities of a study are not named."""

_STUDY: Final = (
    f"SELECT study.study_uid, study.patient_id, {', '.join(column_names(OF_STUDY))}, "  # noqa: S608 - our own names
    "patient_name_alphabetic, patient_name_ideographic, patient_name_phonetic, "
    "patient_birth_date, patient_sex "
    "FROM study LEFT JOIN patient "
    "ON patient.tenant_id = study.tenant_id AND patient.patient_id = study.patient_id "
    "WHERE study.tenant_id = :tenant AND study.study_uid = :study "
    "AND study.number_of_instances > 0"
)
_SERIES: Final = (
    f"SELECT {', '.join(column_names(OF_SERIES))} FROM series "  # noqa: S608 - our own names
    "WHERE tenant_id = :tenant AND study_uid = :study AND number_of_instances > 0 "
    "ORDER BY series_number, series_uid"
)


def _listed(table: str, columns: list[str], prefix: str = "") -> str:
    return ", ".join(f"{table}.{name} AS {prefix}{name}" for name in columns)


_INSTANCES: Final = (
    f"SELECT {_listed('instance', [*column_names(OF_INSTANCE), *INSTANCE_COLUMNS])}, "  # noqa: S608 - our own names
    f"{_listed('rendition', list(RENDITION_COLUMNS), PREFIX)} "
    "FROM instance LEFT JOIN rendition "
    "ON rendition.tenant_id = instance.tenant_id AND rendition.sop_uid = instance.sop_uid "
    "WHERE instance.tenant_id = :tenant AND instance.study_uid = :study "
    "AND instance.series_uid = :series "
    "ORDER BY instance.instance_number, instance.sop_uid"
)


class Manifest(NamedTuple):
    """A manifest as it is written, and what the list of studies tells of it."""

    content: bytes
    summary: WrittenManifest


class _Series(NamedTuple):
    told: dict[str, object]
    shown: list[msgspec.Raw]
    """Encoded, as thousands of objects are; the items of further frames are among them."""
    objects: int
    """How many of them are objects."""
    not_shown: list[msgspec.Raw]
    failed: int

    def with_instances(self, instances: list[msgspec.Raw]) -> dict[str, object]:
        return {**self.told, "instances": instances}


def study_manifest(catalog: Catalog, study: Study, url_of: Address, describe: Describe) -> Manifest:
    """Build the manifest of a study. One without objects has no study in it.

    Raises:
        TransientError: the catalog is away, or a header cannot be read.
    """
    key = {"tenant": study.tenant_id, "study": study.study_uid}
    rows = catalog.query(_STUDY, **key)
    if not rows:
        return Manifest(msgspec.json.encode({"studies": []}), WrittenManifest(study))
    series = [
        _read_series(catalog, key, row, url_of, describe) for row in catalog.query(_SERIES, **key)
    ]
    summary = WrittenManifest(
        study,
        tuple(_modalities(series)),
        sum(one.objects for one in series),
        sum(len(one.not_shown) for one in series),
        sum(one.failed for one in series),
    )
    told = {
        **_told_of_study(rows[0]),
        "NumInstances": summary.shown + summary.not_shown,
        "Modalities": "/".join(summary.modalities),
        "series": [one.with_instances(one.shown) for one in series if one.shown],
        "not_shown": [one.with_instances(one.not_shown) for one in series if one.not_shown],
    }
    return Manifest(msgspec.json.encode({"studies": [told]}), summary)


def _read_series(
    catalog: Catalog, key: dict[str, str], row: Row, url_of: Address, describe: Describe
) -> _Series:
    told: dict[str, object] = {**dict.fromkeys(OF_SERIES), **attributes(row, OF_SERIES)}
    shown: list[msgspec.Raw] = []
    not_shown: list[msgspec.Raw] = []
    objects = failed = 0
    for instance in catalog.query(_INSTANCES, **key, series=str(row["series_uid"])):
        one = entry(instance, url_of, describe)
        objects += one.shown
        failed += one.failed
        encoded = (msgspec.Raw(msgspec.json.encode(item)) for item in one.items)
        (shown if one.shown else not_shown).extend(encoded)
    return _Series(told, shown, objects, not_shown, failed)


def _told_of_study(row: Row) -> dict[str, object]:
    names = (*OF_STUDY, *OF_PATIENT)
    return {
        "StudyInstanceUID": row["study_uid"],
        "PatientName": person_name(row),
        **dict.fromkeys(names),
        **attributes(row, names),
    }


def _modalities(series: list[_Series]) -> Iterator[str]:
    found = {str(one.told["Modality"]) for one in series if one.told["Modality"]}
    yield from sorted(found)[:MODALITIES]
