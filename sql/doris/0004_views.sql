-- Views for analysts. Columns and meaning are those of the embedded warehouse's views.

-- One row per study: its patient, its size, and its modalities in alphabetical order.
CREATE VIEW IF NOT EXISTS study_summary AS
SELECT
    study.tenant_id,
    study.study_uid,
    study.patient_id,
    study.study_date,
    study.accession_number,
    study.study_description,
    spoken.modalities,
    COALESCE(sums.number_of_series, 0)    AS number_of_series,
    COALESCE(sums.number_of_instances, 0) AS number_of_instances,
    COALESCE(sums.total_size, 0)          AS total_size -- bytes
FROM dicom_study AS study
LEFT JOIN (
    SELECT
        tenant_id,
        study_uid,
        ARRAY_JOIN(ARRAY_SORT(COLLECT_SET(modality)), ',') AS modalities
    FROM dicom_series
    WHERE modality IS NOT NULL
    GROUP BY tenant_id, study_uid
) AS spoken
    ON spoken.tenant_id = study.tenant_id
   AND spoken.study_uid = study.study_uid
LEFT JOIN (
    SELECT
        tenant_id,
        study_uid,
        COUNT(DISTINCT series_uid)        AS number_of_series,
        COUNT(sop_uid)                    AS number_of_instances,
        SUM(file_size)                    AS total_size
    FROM dicom_image
    GROUP BY tenant_id, study_uid
) AS sums
    ON sums.tenant_id = study.tenant_id
   AND sums.study_uid = study.study_uid;

-- One row per study and modality.
CREATE VIEW IF NOT EXISTS study_modality_summary AS
SELECT
    series.tenant_id,
    series.study_uid,
    series.modality,
    COUNT(DISTINCT series.series_uid)     AS number_of_series,
    COUNT(image.sop_uid)                  AS number_of_instances,
    COALESCE(SUM(image.file_size), 0)     AS total_size -- bytes
FROM dicom_series AS series
LEFT JOIN dicom_image AS image
    ON image.tenant_id = series.tenant_id
   AND image.study_uid = series.study_uid
   AND image.series_uid = series.series_uid
GROUP BY series.tenant_id, series.study_uid, series.modality;

-- Objects that cannot be shown now, by cause and transfer syntax: failures of their newest receipt.
CREATE VIEW IF NOT EXISTS conversion_failure_summary AS
SELECT
    failure.tenant_id,
    failure.stage,
    failure.error_code,
    failure.transfer_syntax_uid,
    COUNT(*)                              AS number_of_objects,
    SUM(failure.retryable)                AS number_retryable,
    MIN(failure.created_time)             AS first_received,
    MAX(failure.created_time)             AS last_received
FROM dicom_conversion_record AS failure
INNER JOIN dicom_image AS image
    ON image.tenant_id = failure.tenant_id
   AND image.sop_uid = failure.sop_uid
   AND image.trace_id = failure.trace_id
WHERE failure.state = 'failed'
GROUP BY failure.tenant_id, failure.stage, failure.error_code, failure.transfer_syntax_uid;

-- What each sender sent on each day (UTC), and what became of it.
CREATE VIEW IF NOT EXISTS daily_receipts AS
SELECT
    tenant_id,
    DATE(created_time)                    AS received_date,
    source_ae,
    transfer_status,
    COUNT(*)                              AS number_of_receipts,
    COUNT(duplicate_of)                   AS number_of_duplicates,
    COALESCE(SUM(file_size), 0)           AS total_size -- bytes
FROM dicom_object_meta
GROUP BY tenant_id, DATE(created_time), source_ae, transfer_status;
