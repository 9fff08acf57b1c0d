-- The catalog, embedded in SQLite. Where every received object lies.
--
-- STRICT tables refuse a value of another type. Text compares byte by byte (SQLite's BINARY), so
-- that patient A1 and patient a1 stay two. Times are UTC text in ISO 8601, which sorts by time.

-- One row per stored file, written by the storage stage. An object that comes again with other
-- bytes is another file and another row; one that comes again unchanged is none.
CREATE TABLE storage_record (
    tenant_id           TEXT    NOT NULL,            -- which customer: part of every key
    file_path           TEXT    NOT NULL,            -- relative to the storage root
    file_size           INTEGER NOT NULL,            -- bytes of the whole Part 10 file
    trace_id            TEXT    NOT NULL,            -- receipt that wrote this row
    row_version         INTEGER NOT NULL,            -- a smaller one never overwrites a greater
    version             INTEGER NOT NULL,            -- µs since the epoch, never goes back
    worker_node_id      TEXT    NOT NULL,            -- the receiver process that took the object
    patient_id          TEXT    NOT NULL DEFAULT '', -- PatientID, empty when absent
    study_uid           TEXT    NOT NULL,            -- StudyInstanceUID
    series_uid          TEXT    NOT NULL,            -- SeriesInstanceUID
    sop_uid             TEXT    NOT NULL,            -- SOPInstanceUID
    sop_class_uid       TEXT    NOT NULL,            -- SOPClassUID
    transfer_syntax_uid TEXT    NOT NULL,            -- TransferSyntaxUID of the file
    file_name           TEXT    NOT NULL,            -- last part of file_path
    digest              TEXT    NOT NULL,            -- SHA-256 of syntax and data set
    created_time        TEXT    NOT NULL,            -- when it was received, UTC, ISO 8601 with µs
    source_ip           TEXT    NOT NULL,            -- IPv4 or IPv6 address of the sender
    source_ae           TEXT    NOT NULL,            -- AE title of the sender
    accession_number    TEXT,                        -- AccessionNumber
    study_date          TEXT,                        -- YYYY-MM-DD
    number_of_frames    INTEGER,                     -- NumberOfFrames
    findings            TEXT    NOT NULL DEFAULT '', -- oddities, one a line
    PRIMARY KEY (tenant_id, file_path)
) STRICT;

-- Finds the files of one object, the newest among them.
CREATE INDEX storage_record_by_object
    ON storage_record (tenant_id, sop_uid, row_version, trace_id);

-- The current file of each object: the newest by (row_version, trace_id).
CREATE VIEW current_storage_record AS
SELECT record.*
FROM storage_record AS record
WHERE NOT EXISTS (
    SELECT 1
    FROM storage_record AS newer
    WHERE newer.tenant_id = record.tenant_id
      AND newer.sop_uid = record.sop_uid
      AND (newer.row_version, newer.trace_id) > (record.row_version, record.trace_id)
);
