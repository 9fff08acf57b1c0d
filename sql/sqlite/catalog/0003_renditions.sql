-- Which file a viewer opens for the current version of each object. Written by the rendition
-- stage; originals are never changed, a converted file lies in a tree of its own.
CREATE TABLE rendition (
    tenant_id           TEXT    NOT NULL, -- which customer: part of every key
    sop_uid             TEXT    NOT NULL, -- SOPInstanceUID
    trace_id            TEXT    NOT NULL, -- receipt that wrote this row
    row_version         INTEGER NOT NULL, -- a smaller one never overwrites a greater
    study_uid           TEXT    NOT NULL, -- StudyInstanceUID
    series_uid          TEXT    NOT NULL, -- SeriesInstanceUID
    sop_class_uid       TEXT    NOT NULL, -- SOPClassUID
    action              TEXT    NOT NULL, -- what was decided, e.g. keep or transcode
    rule                TEXT,             -- which rule decided
    reason              TEXT,             -- why, in a sentence
    source_path         TEXT    NOT NULL, -- the original, relative to the storage root
    file_path           TEXT,             -- in the rendition root, NULL: the original
    transfer_syntax_uid TEXT,             -- of the file to open, NULL when there is none
    file_size           INTEGER,          -- bytes of the converted file
    number_of_frames    INTEGER,          -- frames that were seen in the pixel data
    error_code          TEXT,             -- NULL unless the object cannot be shown
    PRIMARY KEY (tenant_id, sop_uid)
) STRICT;

-- A viewer opens whole series.
CREATE INDEX rendition_by_series ON rendition (tenant_id, study_uid, series_uid);
