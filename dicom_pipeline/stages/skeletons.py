"""Skeleton rows: keys and parents of what an event speaks of, before its header is read."""

from typing import Final

from dicom_pipeline.catalog import IndexedObject
from dicom_pipeline.messages import Event

OLDEST: Final = 0
"""Every word of the index stage is newer than a skeleton row."""


def skeleton(event: Event) -> IndexedObject:
    """Rows that make a patient, study and series findable and never override what was read."""
    base = {"tenant_id": event.tenant_id, "trace_id": event.trace_id, "row_version": OLDEST}
    patient = {"patient_id": event.patient_id}
    study = {"study_uid": event.study_uid}
    return IndexedObject(
        patient={**base, **patient},
        study={**base, **study, **patient},
        series={**base, **study, "series_uid": event.series_uid},
        instance={},
    )
