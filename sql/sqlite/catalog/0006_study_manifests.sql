-- What is known of each study's manifest, the file that tells a viewer what to open. Who changes
-- what a manifest says marks the study in the same transaction; who has written the manifest takes
-- back exactly the mark that was read before, so that a mark set meanwhile stays.
CREATE TABLE study_manifest (
    tenant_id  TEXT    NOT NULL,            -- which customer: part of every key
    study_uid  TEXT    NOT NULL,            -- StudyInstanceUID
    due        TEXT    NOT NULL DEFAULT '', -- the mark: a UUID of its time, empty: nothing to do
    modalities TEXT    NOT NULL DEFAULT '', -- of the manifest's series, joined by a backslash
    shown      INTEGER NOT NULL DEFAULT 0,  -- objects in the manifest that can be opened
    not_shown  INTEGER NOT NULL DEFAULT 0,  -- objects in the manifest that cannot
    failed     INTEGER NOT NULL DEFAULT 0,  -- those of them whose images should be there
    PRIMARY KEY (tenant_id, study_uid)
) STRICT;

-- The oldest marks first.
CREATE INDEX study_manifest_by_due ON study_manifest (due);

-- What was indexed before there were manifests is due.
INSERT INTO study_manifest (tenant_id, study_uid, due)
SELECT tenant_id, study_uid, '00000000-0000-7000-8000-000000000000'
FROM study
WHERE number_of_instances > 0;
