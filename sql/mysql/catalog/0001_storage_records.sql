-- The catalog in MySQL 8 or MariaDB. Where every received object lies.
--
-- Text compares by code points (utf8mb4_bin), so that patient A1 and patient a1 stay two. That
-- collation takes trailing spaces for nothing, hence patient_id, which people write, is VARBINARY:
-- the bytes of its UTF-8 (CONVERT(patient_id USING utf8mb4) shows them as text). The lengths are
-- those of dicom_pipeline/catalog/lengths.py. Times are UTC text in ISO 8601, which sorts by time.

-- One row per stored file, written by the storage stage. An object that comes again with other
-- bytes is another file and another row; one that comes again unchanged is none.
CREATE TABLE storage_record (
    tenant_id           VARCHAR(64)    NOT NULL COMMENT 'Which customer: part of every key',
    file_path           VARCHAR(512)   NOT NULL COMMENT 'Relative to the storage root',
    file_size           BIGINT         NOT NULL COMMENT 'Bytes of the whole Part 10 file',
    trace_id            VARCHAR(64)    NOT NULL COMMENT 'Receipt that wrote this row',
    row_version         BIGINT         NOT NULL COMMENT 'A smaller one never overwrites a greater',
    version             BIGINT         NOT NULL COMMENT 'Microseconds since the epoch, never goes back',
    worker_node_id      VARCHAR(64)    NOT NULL COMMENT 'The receiver process that took the object',
    patient_id          VARBINARY(256) NOT NULL DEFAULT '' COMMENT 'PatientID in UTF-8, empty when absent',
    study_uid           VARCHAR(64)    NOT NULL COMMENT 'StudyInstanceUID',
    series_uid          VARCHAR(64)    NOT NULL COMMENT 'SeriesInstanceUID',
    sop_uid             VARCHAR(64)    NOT NULL COMMENT 'SOPInstanceUID',
    sop_class_uid       VARCHAR(64)    NOT NULL COMMENT 'SOPClassUID',
    transfer_syntax_uid VARCHAR(64)    NOT NULL COMMENT 'TransferSyntaxUID of the file',
    file_name           VARCHAR(255)   NOT NULL COMMENT 'Last part of file_path',
    digest              VARCHAR(64)    NOT NULL COMMENT 'SHA-256 of syntax and data set',
    created_time        VARCHAR(32)    NOT NULL COMMENT 'When it was received: UTC, ISO 8601',
    source_ip           VARCHAR(64)    NOT NULL COMMENT 'IPv4 or IPv6 address of the sender',
    source_ae           VARCHAR(64)    NOT NULL COMMENT 'AE title of the sender',
    accession_number    VARCHAR(64)    NULL     COMMENT 'AccessionNumber',
    study_date          VARCHAR(10)    NULL     COMMENT 'YYYY-MM-DD',
    number_of_frames    BIGINT         NULL     COMMENT 'NumberOfFrames',
    findings            MEDIUMTEXT     NOT NULL COMMENT 'Oddities, one a line',
    PRIMARY KEY (tenant_id, file_path),
    -- Finds the files of one object, the newest among them; also by its UID alone.
    INDEX storage_record_by_object (sop_uid, tenant_id, row_version, trace_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'One row per stored file';

-- The current file of each object: the newest by (row_version, trace_id).
CREATE OR REPLACE VIEW current_storage_record AS
SELECT record.*
FROM storage_record AS record
WHERE NOT EXISTS (
    SELECT 1
    FROM storage_record AS newer
    WHERE newer.sop_uid = record.sop_uid
      AND newer.tenant_id = record.tenant_id
      AND (newer.row_version > record.row_version
           OR (newer.row_version = record.row_version AND newer.trace_id > record.trace_id))
);
