"""A plausible event for tests; every field can be overridden."""

from dicom_pipeline.messages import Event, TransferStatus, uid_hash


def an_event(**changes):
    study_uid = changes.get("study_uid", "1.2.3.1")
    series_uid = changes.get("series_uid", "1.2.3.1.1")
    return Event(
        **{
            "trace_id": "019a0000-0000-7000-8000-000000000001",
            "worker_node_id": "node-1",
            "tenant_id": "default",
            "patient_id": "P1",
            "study_uid": study_uid,
            "series_uid": series_uid,
            "sop_uid": "1.2.3.1.1.1",
            "file_size": 1000,
            "file_path": "default/1.2.3.1/1.2.3.1.1/1.2.3.1.1.1.dcm",
            "transfer_syntax_uid": "1.2.840.10008.1.2.1",
            "number_of_frames": None,
            "created_time": "2026-01-31T12:00:00.000001Z",
            "series_uid_hash": uid_hash(series_uid),
            "study_uid_hash": uid_hash(study_uid),
            "accession_number": "",
            "target_ts": None,
            "study_date": "2026-01-31",
            "transfer_status": TransferStatus.PENDING,
            "source_ip": "127.0.0.1",
            "source_ae": "MODALITY",
            "version": 1_769_860_800_000_001,
            "digest": "0" * 64,
            "file_name": "1.2.3.1.1.1.dcm",
            "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        }
        | changes
    )
