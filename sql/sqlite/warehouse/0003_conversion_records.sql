-- One row per receipt whose object could not be shown: why, with which library, and whether another
-- run may help. A conversion that then succeeds turns the row into `recovered`. Written by the
-- rendition stage.
CREATE TABLE dicom_conversion_record (
    tenant_id           TEXT    NOT NULL, -- which customer: part of every key
    trace_id            TEXT    NOT NULL, -- receipt that wrote this row
    stage               TEXT    NOT NULL, -- which stage failed
    row_version         INTEGER NOT NULL, -- a smaller one never overwrites a greater
    sop_uid             TEXT    NOT NULL, -- SOPInstanceUID
    study_uid           TEXT,             -- StudyInstanceUID
    series_uid          TEXT,             -- SeriesInstanceUID
    sop_class_uid       TEXT,             -- SOPClassUID
    transfer_syntax_uid TEXT,             -- TransferSyntaxUID of the file
    error_code          TEXT,             -- stable code, NULL once recovered
    reason              TEXT,             -- what the library or the rule said
    library             TEXT,             -- the codec library that failed, if one did
    library_version     TEXT,
    retryable           INTEGER,          -- 1: another attempt may help
    attempt             INTEGER NOT NULL, -- 0: the event as received
    state               TEXT    NOT NULL, -- failed or recovered
    created_time        TEXT,             -- when it was received, UTC, ISO 8601 with µs
    PRIMARY KEY (tenant_id, trace_id, stage),
    CHECK (state IN ('failed', 'recovered'))
) STRICT;

CREATE INDEX conversion_record_by_state ON dicom_conversion_record (state, error_code);
CREATE INDEX conversion_record_by_object ON dicom_conversion_record (tenant_id, sop_uid);
