-- Views for analysts.

-- One row per study: its patient, its size, and its modalities in alphabetical order.
CREATE VIEW study_summary AS
SELECT
    study.tenant_id,
    study.study_uid,
    study.patient_id,
    study.study_date,
    study.accession_number,
    study.study_description,
    (
        SELECT group_concat(of_study.modality, ',')
        FROM (
            SELECT DISTINCT series.modality
            FROM dicom_series AS series
            WHERE series.tenant_id = study.tenant_id
              AND series.study_uid = study.study_uid
              AND series.modality IS NOT NULL
            ORDER BY series.modality
        ) AS of_study
    ) AS modalities,
    COUNT(DISTINCT image.series_uid)   AS number_of_series,
    COUNT(image.sop_uid)               AS number_of_instances,
    COALESCE(SUM(image.file_size), 0)  AS total_size -- bytes
FROM dicom_study AS study
LEFT JOIN dicom_image AS image
    ON image.tenant_id = study.tenant_id
   AND image.study_uid = study.study_uid
GROUP BY study.tenant_id, study.study_uid;

-- One row per study and modality.
CREATE VIEW study_modality_summary AS
SELECT
    series.tenant_id,
    series.study_uid,
    series.modality,
    COUNT(DISTINCT series.series_uid)  AS number_of_series,
    COUNT(image.sop_uid)               AS number_of_instances,
    COALESCE(SUM(image.file_size), 0)  AS total_size -- bytes
FROM dicom_series AS series
LEFT JOIN dicom_image AS image
    ON image.tenant_id = series.tenant_id
   AND image.study_uid = series.study_uid
   AND image.series_uid = series.series_uid
GROUP BY series.tenant_id, series.study_uid, series.modality;

-- Objects that cannot be shown now, by cause and transfer syntax: failures of their newest receipt.
CREATE VIEW conversion_failure_summary AS
SELECT
    record.tenant_id,
    record.stage,
    record.error_code,
    record.transfer_syntax_uid,
    COUNT(*)                  AS number_of_objects,
    SUM(record.retryable)     AS number_retryable,
    MIN(record.created_time)  AS first_received,
    MAX(record.created_time)  AS last_received
FROM dicom_conversion_record AS record
JOIN dicom_image AS image
  ON image.tenant_id = record.tenant_id
 AND image.sop_uid = record.sop_uid
 AND image.trace_id = record.trace_id
WHERE record.state = 'failed'
GROUP BY record.tenant_id, record.stage, record.error_code, record.transfer_syntax_uid;

-- What each sender sent on each day (UTC), and what became of it.
CREATE VIEW daily_receipts AS
SELECT
    tenant_id,
    substr(created_time, 1, 10)        AS received_date,
    source_ae,
    transfer_status,
    COUNT(*)                           AS number_of_receipts,
    COUNT(duplicate_of)                AS number_of_duplicates,
    COALESCE(SUM(file_size), 0)        AS total_size -- bytes
FROM dicom_object_meta
GROUP BY tenant_id, substr(created_time, 1, 10), source_ae, transfer_status;
