-- Failed attempts that a backfill has sent again. `dicom_conversion_record` holds the newest word on
-- a receipt; what earlier attempts failed with is kept here. Written by the backfill only, after
-- the event was published: an attempt that is here and not yet decided is not sent twice.
CREATE TABLE dicom_conversion_retry (
    tenant_id           TEXT    NOT NULL, -- which customer: part of every key
    trace_id            TEXT    NOT NULL, -- the receipt
    stage               TEXT    NOT NULL, -- which stage failed
    attempt             INTEGER NOT NULL, -- the attempt that failed; the next one was published
    row_version         INTEGER NOT NULL, -- that of the failure
    sop_uid             TEXT    NOT NULL, -- SOPInstanceUID
    study_uid           TEXT,             -- StudyInstanceUID
    transfer_syntax_uid TEXT,             -- TransferSyntaxUID of the file
    error_code          TEXT,             -- what the attempt failed with
    reason              TEXT,             -- what the library or the rule said
    library             TEXT,             -- the codec library that failed, if one did
    library_version     TEXT,
    requested           INTEGER NOT NULL, -- when the next attempt was asked for, µs since the epoch
    backfill_id         TEXT    NOT NULL, -- who asked: the Dagster run, or the command's own id
    PRIMARY KEY (tenant_id, trace_id, stage, attempt)
) STRICT;

CREATE INDEX conversion_retry_by_backfill ON dicom_conversion_retry (backfill_id);
CREATE INDEX conversion_retry_by_object ON dicom_conversion_retry (sop_uid);

-- One row per attempt at a receipt that has failed at least once: how it ended, and which backfill
-- has sent it again.
CREATE VIEW conversion_history AS
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
JOIN dicom_conversion_record AS latest
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
