-- One row per receipt whose object could not be shown: why, with which library, and whether another
-- run may help. A conversion that then succeeds turns the row into `recovered`. Written by the
-- rendition stage.
CREATE TABLE IF NOT EXISTS dicom_conversion_record (
    tenant_id           VARCHAR(64)    NOT NULL COMMENT "which customer: part of every key",
    trace_id            VARCHAR(36)    NOT NULL COMMENT "receipt that wrote this row",
    stage               VARCHAR(64)    NOT NULL COMMENT "which stage failed",
    row_version         BIGINT         NOT NULL COMMENT "a smaller one never overwrites a greater",
    sop_uid             VARCHAR(64)    NOT NULL COMMENT "SOPInstanceUID",
    study_uid           VARCHAR(64)    NULL COMMENT "StudyInstanceUID",
    series_uid          VARCHAR(64)    NULL COMMENT "SeriesInstanceUID",
    sop_class_uid       VARCHAR(64)    NULL COMMENT "SOPClassUID",
    transfer_syntax_uid VARCHAR(64)    NULL COMMENT "TransferSyntaxUID of the file",
    error_code          VARCHAR(64)    NULL COMMENT "stable code, NULL once recovered",
    reason              VARCHAR(65533) NULL COMMENT "what the library or the rule said",
    library             VARCHAR(64)    NULL COMMENT "the codec library that failed, if one did",
    library_version     VARCHAR(64)    NULL COMMENT "its version",
    retryable           TINYINT        NULL COMMENT "1: another attempt may help",
    attempt             BIGINT         NOT NULL COMMENT "0: the event as received",
    state               VARCHAR(64)    NOT NULL COMMENT "failed or recovered",
    created_time        DATETIME(6)    NULL COMMENT "when it was received, UTC",
    INDEX conversion_record_by_object (sop_uid) USING INVERTED,
    INDEX conversion_record_by_study (study_uid) USING INVERTED,
    INDEX conversion_record_by_state (state) USING INVERTED,
    INDEX conversion_record_by_code (error_code) USING INVERTED
)
ENGINE = OLAP
UNIQUE KEY(tenant_id, trace_id, stage)
DISTRIBUTED BY HASH(tenant_id, trace_id) BUCKETS ${buckets}
PROPERTIES (
    "replication_num" = "${replicas}",
    "enable_unique_key_merge_on_write" = "true",
    "function_column.sequence_col" = "row_version",
    "light_schema_change" = "true"
);
