-- The warehouse in Apache Doris 2.1 or newer. Placeholders (${buckets}, ${replicas}, ${partitions},
-- ${retention}) are filled from the options of WAREHOUSE_URL. Every statement can be repeated.

-- One row per receipt, duplicates included; written from the log queue only. Names and order of the
-- first twenty columns are those of the original table, with one exception. What was mended:
--
--  1. created_time stands second and is NOT NULL: partitions, which retention needs, must be made of
--     a key column, and a UNIQUE KEY must be a prefix of the columns. It is the one exception to the
--     original order. A receipt's created_time never changes, so the key still means the receipt.
--  2. function_column.sequence_col: a row with a smaller row_version never replaces a greater one,
--     so a receipt that is replayed after its rendition leaves target_ts as it was.
--  3. One row per receipt is right for a log of receipts; a resent object is a second receipt. What
--     is current for an object is in dicom_image, keyed by tenant and object.
--  4. The hashes are the first 8 bytes of a SHA-256 as a *signed* number: they fit a BIGINT. An
--     unsigned hash would be NULL for half of all UIDs.
--  5. VARCHAR counts bytes of UTF-8: patient_id and accession_number hold 64 characters of any
--     script (256 bytes), where 64 bytes hold 21 Chinese characters.
--  6. source_ip holds an IPv6 address; 24 bytes did not.
--  7. created_time is DATETIME(6), in UTC: without a scale the microseconds are dropped.
--  8. The three UIDs are NOT NULL: no object is stored without them.
--  9. number_of_frames is BIGINT: what a header claims may be greater than an INT.
-- 10. Buckets, replicas and partitions come from the settings.
CREATE TABLE IF NOT EXISTS dicom_object_meta (
    trace_id            VARCHAR(36)    NOT NULL COMMENT "receipt (UUIDv7)",
    created_time        DATETIME(6)    NOT NULL COMMENT "when it was received, UTC",
    worker_node_id      VARCHAR(64)    NOT NULL COMMENT "receiver process that took the object",
    tenant_id           VARCHAR(64)    NOT NULL COMMENT "which customer",
    patient_id          VARCHAR(256)   NOT NULL COMMENT "PatientID, empty when absent",
    study_uid           VARCHAR(64)    NOT NULL COMMENT "StudyInstanceUID",
    series_uid          VARCHAR(64)    NOT NULL COMMENT "SeriesInstanceUID",
    sop_uid             VARCHAR(64)    NOT NULL COMMENT "SOPInstanceUID",
    file_size           BIGINT         NULL COMMENT "bytes of the whole Part 10 file",
    file_path           VARCHAR(1024)  NULL COMMENT "relative to the storage root",
    transfer_syntax_uid VARCHAR(64)    NULL COMMENT "TransferSyntaxUID of the file",
    number_of_frames    BIGINT         NULL COMMENT "NumberOfFrames",
    series_uid_hash     BIGINT         NULL COMMENT "first 8 bytes of SHA-256 of series_uid, signed",
    study_uid_hash      BIGINT         NULL COMMENT "first 8 bytes of SHA-256 of study_uid, signed",
    accession_number    VARCHAR(256)   NULL COMMENT "AccessionNumber",
    target_ts           VARCHAR(64)    NULL COMMENT "transfer syntax of the rendition, once converted",
    study_date          DATE           NULL COMMENT "StudyDate",
    transfer_status     VARCHAR(64)    NULL COMMENT "Pending, NoNeedTransfer, Success or Failed",
    source_ip           VARCHAR(64)    NULL COMMENT "IPv4 or IPv6 address of the sender",
    source_ae           VARCHAR(64)    NULL COMMENT "AE title of the sender",
    row_version         BIGINT         NOT NULL COMMENT "a smaller one never replaces a greater",
    version             BIGINT         NOT NULL COMMENT "microseconds since the epoch, never goes back",
    phase               BIGINT         NOT NULL COMMENT "0: the receipt; later words are greater",
    attempt             BIGINT         NOT NULL COMMENT "0: the event as received",
    digest              VARCHAR(64)    NULL COMMENT "SHA-256 of syntax and data set",
    file_name           VARCHAR(256)   NULL COMMENT "last part of file_path",
    sop_class_uid       VARCHAR(64)    NULL COMMENT "SOPClassUID",
    duplicate_of        VARCHAR(36)    NULL COMMENT "receipt that stored these bytes",
    findings            VARCHAR(65533) NOT NULL COMMENT "oddities, one a line",
    INDEX object_meta_by_study (study_uid) USING INVERTED,
    INDEX object_meta_by_object (sop_uid) USING INVERTED,
    INDEX object_meta_by_patient (patient_id) USING INVERTED,
    INDEX object_meta_by_accession (accession_number) USING INVERTED
)
ENGINE = OLAP
UNIQUE KEY(trace_id, created_time)
COMMENT "Receipts of DICOM objects"
${partitions}
DISTRIBUTED BY HASH(trace_id) BUCKETS ${buckets}
PROPERTIES (
    "replication_num" = "${replicas}",
    "enable_unique_key_merge_on_write" = "true",
    "function_column.sequence_col" = "row_version",
    "light_schema_change" = "true",
    "store_row_column" = "true"${retention}
);
