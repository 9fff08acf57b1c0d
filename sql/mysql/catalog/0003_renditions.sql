-- Which file a viewer opens for the current version of each object. Written by the rendition
-- stage; originals are never changed, a converted file lies in a tree of its own.
CREATE TABLE rendition (
    tenant_id           VARCHAR(64)  NOT NULL COMMENT 'Which customer: part of every key',
    sop_uid             VARCHAR(64)  NOT NULL COMMENT 'SOPInstanceUID',
    trace_id            VARCHAR(64)  NOT NULL COMMENT 'Receipt that wrote this row',
    row_version         BIGINT       NOT NULL COMMENT 'A smaller one never overwrites a greater',
    study_uid           VARCHAR(64)  NOT NULL COMMENT 'StudyInstanceUID',
    series_uid          VARCHAR(64)  NOT NULL COMMENT 'SeriesInstanceUID',
    sop_class_uid       VARCHAR(64)  NOT NULL COMMENT 'SOPClassUID',
    action              VARCHAR(64)  NOT NULL COMMENT 'What was decided, e.g. keep or transcode',
    rule                VARCHAR(255) NULL     COMMENT 'Which rule decided',
    reason              MEDIUMTEXT   NULL     COMMENT 'Why, in a sentence',
    source_path         VARCHAR(512) NOT NULL COMMENT 'The original, relative to the storage root',
    file_path           VARCHAR(512) NULL     COMMENT 'In the rendition root, NULL: the original',
    transfer_syntax_uid VARCHAR(64)  NULL     COMMENT 'Of the file to open, NULL when there is none',
    file_size           BIGINT       NULL     COMMENT 'Bytes of the converted file',
    number_of_frames    BIGINT       NULL     COMMENT 'Frames that were seen in the pixel data',
    error_code          VARCHAR(64)  NULL     COMMENT 'NULL unless the object cannot be shown',
    PRIMARY KEY (tenant_id, sop_uid),
    -- A viewer opens whole series.
    INDEX rendition_by_series (study_uid, tenant_id, series_uid),
    INDEX rendition_by_series_uid (series_uid),
    INDEX rendition_by_uid (sop_uid),
    -- What became of how many objects.
    INDEX rendition_by_action (action, error_code)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'Which file a viewer opens for each object';
