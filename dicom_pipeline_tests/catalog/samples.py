"""Rows for the catalog."""

from dicom_pipeline.catalog import Catalog, IndexedObject

TABLES = ("storage_record", "patient", "study", "series", "instance", "rendition")


def indexed(
    sop_uid: str = "1.4.1",
    *,
    version: int = 1,
    trace_id: str = "trace-1",
    tenant: str = "hospital",
    patient: str = "A1",
    study: str = "1.2",
    series: str = "1.3",
    size: int = 100,
) -> IndexedObject:
    """One object, whose description at each level tells which version wrote it."""
    common = {"tenant_id": tenant, "trace_id": trace_id, "row_version": version}
    said = f"said by {trace_id}"
    return IndexedObject(
        {**common, "patient_id": patient, "patient_comments": said},
        {**common, "study_uid": study, "patient_id": patient, "study_description": said},
        {**common, "series_uid": series, "study_uid": study, "series_description": said},
        {
            **common,
            "sop_uid": sop_uid,
            "series_uid": series,
            "study_uid": study,
            "patient_id": patient,
            "image_comments": said,
            "file_path": f"{study}/{sop_uid}.dcm",
            "file_size": size,
        },
    )


def skeleton(item: IndexedObject) -> IndexedObject:
    """What the storage stage knows of the same object: keys and parents."""
    keys = {"tenant_id", "trace_id", "patient_id", "study_uid", "series_uid"}
    patient, study, series = (
        {name: value for name, value in row.items() if name in keys} for row in item[:3]
    )
    return IndexedObject(
        *({**row, "row_version": 0} for row in (patient, study, series)), instance={}
    )


def storage_record(path: str, *, sop_uid: str = "1.4.1", version: int = 1, **more: object):
    return {
        "tenant_id": "hospital",
        "trace_id": f"trace-{version}",
        "row_version": version * 1024,
        "version": version,
        "worker_node_id": "node-1",
        "patient_id": "A1",
        "study_uid": "1.2",
        "series_uid": "1.3",
        "sop_uid": sop_uid,
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "transfer_syntax_uid": "1.2.840.10008.1.2.1",
        "file_path": path,
        "file_name": path.rpartition("/")[2],
        "file_size": 100,
        "digest": "ab" * 32,
        "created_time": "2026-01-31T12:00:00.000001Z",
        "source_ip": "127.0.0.1",
        "source_ae": "CT1",
        "study_date": "2026-01-31",
        "number_of_frames": None,
        **more,
    }


def rendition(sop_uid: str = "1.4.1", *, version: int = 1, **more: object):
    return {
        "tenant_id": "hospital",
        "sop_uid": sop_uid,
        "trace_id": f"trace-{version}",
        "row_version": version,
        "study_uid": "1.2",
        "series_uid": "1.3",
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "action": "keep",
        "source_path": "1.2/1.4.1.dcm",
        **more,
    }


def contents(catalog: Catalog) -> dict[str, list[dict[str, object]]]:
    """Every row of every table, in a fixed order."""
    return {table: sorted(catalog.query(f"SELECT * FROM {table}"), key=repr) for table in TABLES}
