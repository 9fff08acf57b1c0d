-- What is known of each study's manifest, the file that tells a viewer what to open. Who changes
-- what a manifest says marks the study in the same transaction; who has written the manifest takes
-- back exactly the mark that was read before, so that a mark set meanwhile stays.
CREATE TABLE study_manifest (
    tenant_id  VARCHAR(64)  NOT NULL COMMENT 'Which customer: part of every key',
    study_uid  VARCHAR(64)  NOT NULL COMMENT 'StudyInstanceUID',
    due        VARCHAR(64)  NOT NULL DEFAULT '' COMMENT 'The mark: a UUID of its time, empty: nothing to do',
    modalities VARCHAR(255) NOT NULL DEFAULT '' COMMENT 'Of its series, joined by a backslash',
    shown      BIGINT       NOT NULL DEFAULT 0 COMMENT 'Objects in it that can be opened',
    not_shown  BIGINT       NOT NULL DEFAULT 0 COMMENT 'Objects in it that cannot',
    failed     BIGINT       NOT NULL DEFAULT 0 COMMENT 'Those of them whose images should be there',
    PRIMARY KEY (tenant_id, study_uid),
    -- The oldest marks first.
    INDEX study_manifest_by_due (due)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'What is known of each study''s manifest';

-- What was indexed before there were manifests is due.
INSERT IGNORE INTO study_manifest (tenant_id, study_uid, due)
SELECT tenant_id, study_uid, '00000000-0000-7000-8000-000000000000'
FROM study
WHERE number_of_instances > 0;
