-- Failed attempts that a backfill has sent again. `dicom_conversion_record` holds the newest word on
-- a receipt; what earlier attempts failed with is kept here. Written by the backfill only, after
-- the event was published: an attempt that is here and not yet decided is not sent twice.
CREATE TABLE IF NOT EXISTS dicom_conversion_retry (
    tenant_id           VARCHAR(64)    NOT NULL COMMENT "which customer: part of every key",
    trace_id            VARCHAR(36)    NOT NULL COMMENT "the receipt",
    stage               VARCHAR(64)    NOT NULL COMMENT "which stage failed",
    attempt             BIGINT         NOT NULL COMMENT "the attempt that failed; the next one was published",
    row_version         BIGINT         NOT NULL COMMENT "that of the failure",
    sop_uid             VARCHAR(64)    NOT NULL COMMENT "SOPInstanceUID",
    study_uid           VARCHAR(64)    NULL COMMENT "StudyInstanceUID",
    transfer_syntax_uid VARCHAR(64)    NULL COMMENT "TransferSyntaxUID of the file",
    error_code          VARCHAR(64)    NULL COMMENT "what the attempt failed with",
    reason              VARCHAR(65533) NULL COMMENT "what the library or the rule said",
    library             VARCHAR(64)    NULL COMMENT "the codec library that failed, if one did",
    library_version     VARCHAR(64)    NULL COMMENT "its version",
    requested           BIGINT         NOT NULL COMMENT "when the next attempt was asked for, microseconds since the epoch",
    backfill_id         VARCHAR(64)    NOT NULL COMMENT "who asked: the Dagster run, or the command's own id",
    INDEX conversion_retry_by_backfill (backfill_id) USING INVERTED,
    INDEX conversion_retry_by_object (sop_uid) USING INVERTED
)
ENGINE = OLAP
UNIQUE KEY(tenant_id, trace_id, stage, attempt)
DISTRIBUTED BY HASH(tenant_id, trace_id) BUCKETS ${buckets}
PROPERTIES (
    "replication_num" = "${replicas}",
    "enable_unique_key_merge_on_write" = "true",
    "function_column.sequence_col" = "row_version",
    "light_schema_change" = "true"
);

-- One row per attempt at a receipt that has failed at least once: how it ended, and which backfill
-- has sent it again.
CREATE VIEW IF NOT EXISTS conversion_history AS
SELECT
    earlier.tenant_id,
    earlier.trace_id,
    earlier.stage,
    earlier.attempt,
    'failed' AS state,
    earlier.sop_uid,
    earlier.study_uid,
    earlier.transfer_syntax_uid,
    earlier.error_code,
    earlier.reason,
    earlier.library,
    earlier.library_version,
    earlier.backfill_id
FROM dicom_conversion_retry AS earlier
INNER JOIN dicom_conversion_record AS latest
    ON latest.tenant_id = earlier.tenant_id
   AND latest.trace_id = earlier.trace_id
   AND latest.stage = earlier.stage
WHERE earlier.attempt < latest.attempt
UNION ALL
SELECT
    latest.tenant_id,
    latest.trace_id,
    latest.stage,
    latest.attempt,
    latest.state,
    latest.sop_uid,
    latest.study_uid,
    latest.transfer_syntax_uid,
    latest.error_code,
    latest.reason,
    latest.library,
    latest.library_version,
    retry.backfill_id
FROM dicom_conversion_record AS latest
LEFT JOIN dicom_conversion_retry AS retry
    ON retry.tenant_id = latest.tenant_id
   AND retry.trace_id = latest.trace_id
   AND retry.stage = latest.stage
   AND retry.attempt = latest.attempt;
