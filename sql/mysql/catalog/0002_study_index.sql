-- The study index: patient, study, series, instance. Written by the index stage, which also
-- recounts the parents from `instance` in the same transaction. The storage stage inserts missing
-- parents as skeletons (row_version 0, keys only), which the index stage's first word overrides.
--
-- A column's comment names the attribute it holds (dicom_pipeline/imaging/tag_columns.py). Keys
-- begin with the tenant; indexes by a UID alone are for people who know nothing but the UID.

-- One row per patient of a tenant; the newest object that speaks of the patient decides.
CREATE TABLE patient (
    tenant_id                VARCHAR(64)    NOT NULL COMMENT 'Which customer: part of every key',
    patient_id               VARBINARY(256) NOT NULL DEFAULT '' COMMENT 'PatientID, empty when absent',
    issuer_of_patient_id     VARCHAR(64)    NULL     COMMENT 'IssuerOfPatientID',
    patient_name_alphabetic  VARCHAR(64)    NULL     COMMENT 'PatientName, alphabetic group',
    patient_name_ideographic VARCHAR(64)    NULL     COMMENT 'PatientName, ideographic group',
    patient_name_phonetic    VARCHAR(64)    NULL     COMMENT 'PatientName, phonetic group',
    patient_birth_date       VARCHAR(10)    NULL     COMMENT 'PatientBirthDate, YYYY-MM-DD',
    patient_birth_time       VARCHAR(15)    NULL     COMMENT 'PatientBirthTime, HH:MM:SS.ffffff',
    patient_sex              VARCHAR(16)    NULL     COMMENT 'PatientSex',
    patient_comments         TEXT           NULL     COMMENT 'PatientComments',
    trace_id                 VARCHAR(64)    NOT NULL COMMENT 'Receipt that wrote this row',
    row_version              BIGINT         NOT NULL COMMENT 'A smaller one never overwrites a greater',
    findings                 MEDIUMTEXT     NOT NULL COMMENT 'Oddities, one a line',
    number_of_studies        BIGINT         NOT NULL DEFAULT 0 COMMENT 'Counted from instance',
    number_of_series         BIGINT         NOT NULL DEFAULT 0 COMMENT 'Counted from instance',
    number_of_instances      BIGINT         NOT NULL DEFAULT 0 COMMENT 'Counted from instance',
    total_size               BIGINT         NOT NULL DEFAULT 0 COMMENT 'Bytes, summed from instance',
    PRIMARY KEY (tenant_id, patient_id)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'One row per patient of a tenant';

-- One row per study.
CREATE TABLE study (
    tenant_id                  VARCHAR(64)    NOT NULL COMMENT 'Which customer: part of every key',
    study_uid                  VARCHAR(64)    NOT NULL COMMENT 'StudyInstanceUID',
    patient_id                 VARBINARY(256) NOT NULL DEFAULT '' COMMENT 'PatientID, empty when absent',
    study_date                 VARCHAR(10)    NULL     COMMENT 'StudyDate, YYYY-MM-DD',
    study_time                 VARCHAR(15)    NULL     COMMENT 'StudyTime, HH:MM:SS.ffffff',
    accession_number           VARCHAR(64)    NULL     COMMENT 'AccessionNumber',
    study_id                   VARCHAR(64)    NULL     COMMENT 'StudyID',
    study_description          VARCHAR(256)   NULL     COMMENT 'StudyDescription',
    referring_physician_name   VARCHAR(200)   NULL     COMMENT 'ReferringPhysicianName',
    admission_id               VARCHAR(64)    NULL     COMMENT 'AdmissionID',
    procedure_codes            MEDIUMTEXT     NULL     COMMENT 'ProcedureCodeSequence, as JSON',
    patient_age                VARCHAR(16)    NULL     COMMENT 'PatientAge',
    patient_size               DOUBLE         NULL     COMMENT 'PatientSize',
    patient_weight             DOUBLE         NULL     COMMENT 'PatientWeight',
    medical_alerts             VARCHAR(1024)  NULL     COMMENT 'MedicalAlerts',
    allergies                  VARCHAR(1024)  NULL     COMMENT 'Allergies',
    pregnancy_status           BIGINT         NULL     COMMENT 'PregnancyStatus',
    additional_patient_history TEXT           NULL     COMMENT 'AdditionalPatientHistory',
    trace_id                   VARCHAR(64)    NOT NULL COMMENT 'Receipt that wrote this row',
    row_version                BIGINT         NOT NULL COMMENT 'A smaller one never overwrites a greater',
    findings                   MEDIUMTEXT     NOT NULL COMMENT 'Oddities, one a line',
    number_of_series           BIGINT         NOT NULL DEFAULT 0 COMMENT 'Counted from instance',
    number_of_instances        BIGINT         NOT NULL DEFAULT 0 COMMENT 'Counted from instance',
    total_size                 BIGINT         NOT NULL DEFAULT 0 COMMENT 'Bytes, summed from instance',
    PRIMARY KEY (tenant_id, study_uid),
    INDEX study_by_uid (study_uid),
    INDEX study_by_patient (tenant_id, patient_id),
    INDEX study_by_date (tenant_id, study_date),
    INDEX study_by_accession_number (tenant_id, accession_number)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'One row per study';

-- One row per series; the key also finds the series of a study. A series UID that two studies use,
-- though it must not be, is two series.
CREATE TABLE series (
    tenant_id                 VARCHAR(64)   NOT NULL COMMENT 'Which customer: part of every key',
    study_uid                 VARCHAR(64)   NOT NULL COMMENT 'StudyInstanceUID',
    series_uid                VARCHAR(64)   NOT NULL COMMENT 'SeriesInstanceUID',
    modality                  VARCHAR(16)   NULL     COMMENT 'Modality',
    series_number             BIGINT        NULL     COMMENT 'SeriesNumber',
    series_date               VARCHAR(10)   NULL     COMMENT 'SeriesDate, YYYY-MM-DD',
    series_time               VARCHAR(15)   NULL     COMMENT 'SeriesTime, HH:MM:SS.ffffff',
    series_description        VARCHAR(256)  NULL     COMMENT 'SeriesDescription',
    body_part_examined        VARCHAR(64)   NULL     COMMENT 'BodyPartExamined',
    protocol_name             VARCHAR(256)  NULL     COMMENT 'ProtocolName',
    performing_physician_name VARCHAR(1024) NULL     COMMENT 'PerformingPhysicianName',
    operators_name            VARCHAR(1024) NULL     COMMENT 'OperatorsName',
    manufacturer              VARCHAR(128)  NULL     COMMENT 'Manufacturer',
    manufacturer_model_name   VARCHAR(128)  NULL     COMMENT 'ManufacturerModelName',
    device_serial_number      VARCHAR(128)  NULL     COMMENT 'DeviceSerialNumber',
    software_versions         VARCHAR(512)  NULL     COMMENT 'SoftwareVersions',
    trace_id                  VARCHAR(64)   NOT NULL COMMENT 'Receipt that wrote this row',
    row_version               BIGINT        NOT NULL COMMENT 'A smaller one never overwrites a greater',
    findings                  MEDIUMTEXT    NOT NULL COMMENT 'Oddities, one a line',
    number_of_instances       BIGINT        NOT NULL DEFAULT 0 COMMENT 'Counted from instance',
    total_size                BIGINT        NOT NULL DEFAULT 0 COMMENT 'Bytes, summed from instance',
    PRIMARY KEY (tenant_id, study_uid, series_uid),
    INDEX series_by_study (study_uid),
    INDEX series_by_uid (series_uid)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'One row per series';

-- One row per object: its newest version.
CREATE TABLE instance (
    tenant_id                  VARCHAR(64)    NOT NULL COMMENT 'Which customer: part of every key',
    sop_uid                    VARCHAR(64)    NOT NULL COMMENT 'SOPInstanceUID',
    series_uid                 VARCHAR(64)    NOT NULL COMMENT 'SeriesInstanceUID',
    study_uid                  VARCHAR(64)    NOT NULL COMMENT 'StudyInstanceUID',
    patient_id                 VARBINARY(256) NOT NULL DEFAULT '' COMMENT 'PatientID, empty when absent',
    sop_class_uid              VARCHAR(64)    NULL     COMMENT 'SOPClassUID',
    transfer_syntax_uid        VARCHAR(64)    NULL     COMMENT 'TransferSyntaxUID',
    instance_number            BIGINT         NULL     COMMENT 'InstanceNumber',
    image_comments             TEXT           NULL     COMMENT 'ImageComments',
    content_date               VARCHAR(10)    NULL     COMMENT 'ContentDate, YYYY-MM-DD',
    content_time               VARCHAR(15)    NULL     COMMENT 'ContentTime, HH:MM:SS.ffffff',
    acquisition_number         BIGINT         NULL     COMMENT 'AcquisitionNumber',
    acquisition_date           VARCHAR(10)    NULL     COMMENT 'AcquisitionDate, YYYY-MM-DD',
    acquisition_time           VARCHAR(15)    NULL     COMMENT 'AcquisitionTime, HH:MM:SS.ffffff',
    image_type                 VARCHAR(256)   NULL     COMMENT 'ImageType',
    image_orientation_patient  VARCHAR(128)   NULL     COMMENT 'ImageOrientationPatient',
    image_position_patient     VARCHAR(64)    NULL     COMMENT 'ImagePositionPatient',
    slice_thickness            DOUBLE         NULL     COMMENT 'SliceThickness',
    spacing_between_slices     DOUBLE         NULL     COMMENT 'SpacingBetweenSlices',
    pixel_spacing              VARCHAR(64)    NULL     COMMENT 'PixelSpacing',
    slice_location             DOUBLE         NULL     COMMENT 'SliceLocation',
    samples_per_pixel          BIGINT         NULL     COMMENT 'SamplesPerPixel',
    photometric_interpretation VARCHAR(16)    NULL     COMMENT 'PhotometricInterpretation',
    image_rows                 BIGINT         NULL     COMMENT 'Rows (a reserved word)',
    image_columns              BIGINT         NULL     COMMENT 'Columns (a reserved word)',
    bits_allocated             BIGINT         NULL     COMMENT 'BitsAllocated',
    bits_stored                BIGINT         NULL     COMMENT 'BitsStored',
    high_bit                   BIGINT         NULL     COMMENT 'HighBit',
    pixel_representation       BIGINT         NULL     COMMENT 'PixelRepresentation',
    rescale_intercept          DOUBLE         NULL     COMMENT 'RescaleIntercept',
    rescale_slope              DOUBLE         NULL     COMMENT 'RescaleSlope',
    window_center              VARCHAR(256)   NULL     COMMENT 'WindowCenter',
    window_width               VARCHAR(256)   NULL     COMMENT 'WindowWidth',
    number_of_frames           BIGINT         NULL     COMMENT 'NumberOfFrames',
    trace_id                   VARCHAR(64)    NOT NULL COMMENT 'Receipt that wrote this row',
    row_version                BIGINT         NOT NULL COMMENT 'A smaller one never overwrites a greater',
    findings                   MEDIUMTEXT     NOT NULL COMMENT 'Oddities, one a line',
    file_path                  VARCHAR(512)   NOT NULL COMMENT 'Relative to the storage root',
    file_size                  BIGINT         NOT NULL COMMENT 'Bytes of the whole Part 10 file',
    PRIMARY KEY (tenant_id, sop_uid),
    INDEX instance_by_uid (sop_uid),
    INDEX instance_by_series_uid (series_uid),
    -- Both cover a recount, so that it reads no table row; the first finds a study by its UID alone.
    INDEX instance_by_series (study_uid, tenant_id, series_uid, file_size),
    INDEX instance_by_patient (tenant_id, patient_id, study_uid, series_uid, file_size)
) ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin
  COMMENT = 'One row per object: its newest version';
