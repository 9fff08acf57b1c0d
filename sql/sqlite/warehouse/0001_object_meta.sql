-- The warehouse, embedded in SQLite. Tables and columns are those of the Doris warehouse, so that
-- a query moves from one to the other. STRICT tables refuse a value of another type; text compares
-- byte by byte; times are UTC text in ISO 8601, which sorts by time.

-- One row per receipt, duplicates included; written from the log queue only. The first twenty
-- columns keep the names and the order of the original table. A stage's later word on a receipt is
-- the full row again with a greater row_version.
CREATE TABLE dicom_object_meta (
    trace_id            TEXT    NOT NULL,            -- UUIDv7 of the receipt
    worker_node_id      TEXT    NOT NULL,            -- the receiver process that took the object
    tenant_id           TEXT    NOT NULL,            -- which customer: part of every key
    patient_id          TEXT    NOT NULL DEFAULT '', -- PatientID, empty when absent
    study_uid           TEXT,                        -- StudyInstanceUID
    series_uid          TEXT,                        -- SeriesInstanceUID
    sop_uid             TEXT,                        -- SOPInstanceUID
    file_size           INTEGER,                     -- bytes of the whole Part 10 file
    file_path           TEXT,                        -- relative to the storage root
    transfer_syntax_uid TEXT,                        -- TransferSyntaxUID of the file
    number_of_frames    INTEGER,                     -- NumberOfFrames
    created_time        TEXT,                        -- when it was received, UTC, ISO 8601 with µs
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

CREATE INDEX object_meta_by_object ON dicom_object_meta (tenant_id, sop_uid);
CREATE INDEX object_meta_by_time ON dicom_object_meta (created_time);
