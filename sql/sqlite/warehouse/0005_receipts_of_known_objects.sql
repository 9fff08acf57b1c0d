-- A receipt always names its object, and when it came: as in the Doris warehouse, where the time is
-- part of the key. SQLite cannot tighten a column, so the table is built again.
DROP VIEW daily_receipts;

CREATE TABLE dicom_object_meta_tightened (
    trace_id            TEXT    NOT NULL,            -- UUIDv7 of the receipt
    worker_node_id      TEXT    NOT NULL,            -- the receiver process that took the object
    tenant_id           TEXT    NOT NULL,            -- which customer: part of every key
    patient_id          TEXT    NOT NULL DEFAULT '', -- PatientID, empty when absent
    study_uid           TEXT    NOT NULL,            -- StudyInstanceUID
    series_uid          TEXT    NOT NULL,            -- SeriesInstanceUID
    sop_uid             TEXT    NOT NULL,            -- SOPInstanceUID
    file_size           INTEGER,                     -- bytes of the whole Part 10 file
    file_path           TEXT,                        -- relative to the storage root
    transfer_syntax_uid TEXT,                        -- TransferSyntaxUID of the file
    number_of_frames    INTEGER,                     -- NumberOfFrames
    created_time        TEXT    NOT NULL,            -- when it was received, UTC, ISO 8601 with µs
    series_uid_hash     INTEGER,                     -- first 8 bytes of SHA-256, signed
    study_uid_hash      INTEGER,                     -- likewise
    accession_number    TEXT,                        -- AccessionNumber
    target_ts           TEXT,                        -- transfer syntax of the rendition, once converted
    study_date          TEXT,                        -- YYYY-MM-DD
    transfer_status     TEXT,                        -- Pending, NoNeedTransfer, Success or Failed
    source_ip           TEXT,                        -- IPv4 or IPv6 address of the sender
    source_ae           TEXT,                        -- AE title of the sender
    row_version         INTEGER NOT NULL,            -- a smaller one never overwrites a greater
    version             INTEGER NOT NULL,            -- µs since the epoch, never goes back
    phase               INTEGER NOT NULL,            -- 0: the receipt; later words are greater
    attempt             INTEGER NOT NULL,            -- 0: the event as received
    digest              TEXT,                        -- SHA-256 of syntax and data set
    file_name           TEXT,                        -- last part of file_path
    sop_class_uid       TEXT,                        -- SOPClassUID
    duplicate_of        TEXT,                        -- receipt that stored these bytes
    findings            TEXT    NOT NULL DEFAULT '', -- oddities, one a line
    PRIMARY KEY (trace_id)
) STRICT;

INSERT INTO dicom_object_meta_tightened SELECT * FROM dicom_object_meta;
DROP TABLE dicom_object_meta;
ALTER TABLE dicom_object_meta_tightened RENAME TO dicom_object_meta;

CREATE INDEX object_meta_by_object ON dicom_object_meta (tenant_id, sop_uid);
CREATE INDEX object_meta_by_time ON dicom_object_meta (created_time);

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
