-- People know a UID, and not always its tenant: `inspect` finds objects, series and studies by a
-- UID alone. Where an index for the keys exists, it now begins with the UID and serves both.
DROP INDEX storage_record_by_object;
CREATE INDEX storage_record_by_object
    ON storage_record (sop_uid, tenant_id, row_version, trace_id);

CREATE INDEX study_by_uid ON study (study_uid);
CREATE INDEX series_by_study ON series (study_uid);
CREATE INDEX series_by_uid ON series (series_uid);

CREATE INDEX instance_by_uid ON instance (sop_uid);
CREATE INDEX instance_by_series_uid ON instance (series_uid);
DROP INDEX instance_by_series;
CREATE INDEX instance_by_series ON instance (study_uid, tenant_id, series_uid, file_size);

DROP INDEX rendition_by_series;
CREATE INDEX rendition_by_series ON rendition (study_uid, tenant_id, series_uid);
CREATE INDEX rendition_by_series_uid ON rendition (series_uid);
CREATE INDEX rendition_by_uid ON rendition (sop_uid);
-- What became of how many objects.
CREATE INDEX rendition_by_action ON rendition (action, error_code);
