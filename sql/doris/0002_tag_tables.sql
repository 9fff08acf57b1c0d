-- The tag tables, for analysts: what the headers say. Written by the index stage; the newest
-- object that speaks of a patient, study or series decides.
--
-- VARCHAR counts bytes: a text of n characters has 4 n. The hidden sequence column is the number
-- row_version * 2^62 + the random bits of trace_id, which every load brings as row_order: rows of
-- two receipts may have one row_version, and then the greater trace_id decides, as everywhere.
-- JSON and not VARIANT for what has no columns: the attributes of a header differ in type from
-- object to object and nest without end, and any one object has few of the thousands there are.

-- One row per patient of a tenant.
CREATE TABLE IF NOT EXISTS dicom_patient (
    tenant_id                VARCHAR(64)    NOT NULL COMMENT "which customer: part of every key",
    patient_id               VARCHAR(256)   NOT NULL COMMENT "PatientID, empty when absent",
    issuer_of_patient_id     VARCHAR(256)   NULL COMMENT "IssuerOfPatientID",
    patient_name_alphabetic  VARCHAR(256)   NULL COMMENT "PatientName, alphabetic group",
    patient_name_ideographic VARCHAR(256)   NULL COMMENT "PatientName, ideographic group",
    patient_name_phonetic    VARCHAR(256)   NULL COMMENT "PatientName, phonetic group",
    patient_birth_date       DATE           NULL COMMENT "PatientBirthDate",
    patient_birth_time       VARCHAR(15)    NULL COMMENT "PatientBirthTime, HH:MM:SS.ffffff",
    patient_sex              VARCHAR(64)    NULL COMMENT "PatientSex",
    patient_comments         VARCHAR(40960) NULL COMMENT "PatientComments",
    trace_id                 VARCHAR(36)    NOT NULL COMMENT "receipt that wrote this row",
    row_version              BIGINT         NOT NULL COMMENT "a smaller one never overwrites a greater",
    findings                 VARCHAR(65533) NOT NULL COMMENT "oddities, one a line",
    INDEX patient_by_name (patient_name_alphabetic) USING INVERTED PROPERTIES("parser" = "unicode"),
    INDEX patient_by_ideographic_name (patient_name_ideographic) USING INVERTED PROPERTIES("parser" = "chinese")
)
ENGINE = OLAP
UNIQUE KEY(tenant_id, patient_id)
DISTRIBUTED BY HASH(tenant_id, patient_id) BUCKETS ${buckets}
PROPERTIES (
    "replication_num" = "${replicas}",
    "enable_unique_key_merge_on_write" = "true",
    "function_column.sequence_type" = "largeint",
    "light_schema_change" = "true"
);

-- One row per study.
CREATE TABLE IF NOT EXISTS dicom_study (
    tenant_id                  VARCHAR(64)    NOT NULL COMMENT "which customer: part of every key",
    study_uid                  VARCHAR(64)    NOT NULL COMMENT "StudyInstanceUID",
    patient_id                 VARCHAR(256)   NOT NULL COMMENT "PatientID, empty when absent",
    study_date                 DATE           NULL COMMENT "StudyDate",
    study_time                 VARCHAR(15)    NULL COMMENT "StudyTime, HH:MM:SS.ffffff",
    accession_number           VARCHAR(256)   NULL COMMENT "AccessionNumber",
    study_id                   VARCHAR(256)   NULL COMMENT "StudyID",
    study_description          VARCHAR(1024)  NULL COMMENT "StudyDescription",
    referring_physician_name   VARCHAR(800)   NULL COMMENT "ReferringPhysicianName",
    admission_id               VARCHAR(256)   NULL COMMENT "AdmissionID",
    procedure_codes            JSON           NULL COMMENT "ProcedureCodeSequence, as JSON",
    patient_age                VARCHAR(64)    NULL COMMENT "PatientAge",
    patient_size               DOUBLE         NULL COMMENT "PatientSize",
    patient_weight             DOUBLE         NULL COMMENT "PatientWeight",
    medical_alerts             VARCHAR(4096)  NULL COMMENT "MedicalAlerts",
    allergies                  VARCHAR(4096)  NULL COMMENT "Allergies",
    pregnancy_status           BIGINT         NULL COMMENT "PregnancyStatus",
    additional_patient_history VARCHAR(40960) NULL COMMENT "AdditionalPatientHistory",
    trace_id                   VARCHAR(36)    NOT NULL COMMENT "receipt that wrote this row",
    row_version                BIGINT         NOT NULL COMMENT "a smaller one never overwrites a greater",
    findings                   VARCHAR(65533) NOT NULL COMMENT "oddities, one a line",
    INDEX study_by_patient (patient_id) USING INVERTED,
    INDEX study_by_date (study_date) USING INVERTED,
    INDEX study_by_accession (accession_number) USING INVERTED,
    INDEX study_by_description (study_description) USING INVERTED PROPERTIES("parser" = "chinese")
)
ENGINE = OLAP
UNIQUE KEY(tenant_id, study_uid)
DISTRIBUTED BY HASH(tenant_id, study_uid) BUCKETS ${buckets}
PROPERTIES (
    "replication_num" = "${replicas}",
    "enable_unique_key_merge_on_write" = "true",
    "function_column.sequence_type" = "largeint",
    "light_schema_change" = "true"
);

-- One row per series.
CREATE TABLE IF NOT EXISTS dicom_series (
    tenant_id                 VARCHAR(64)    NOT NULL COMMENT "which customer: part of every key",
    study_uid                 VARCHAR(64)    NOT NULL COMMENT "StudyInstanceUID",
    series_uid                VARCHAR(64)    NOT NULL COMMENT "SeriesInstanceUID",
    modality                  VARCHAR(64)    NULL COMMENT "Modality",
    series_number             BIGINT         NULL COMMENT "SeriesNumber",
    series_date               DATE           NULL COMMENT "SeriesDate",
    series_time               VARCHAR(15)    NULL COMMENT "SeriesTime, HH:MM:SS.ffffff",
    series_description        VARCHAR(1024)  NULL COMMENT "SeriesDescription",
    body_part_examined        VARCHAR(256)   NULL COMMENT "BodyPartExamined",
    protocol_name             VARCHAR(1024)  NULL COMMENT "ProtocolName",
    performing_physician_name VARCHAR(4096)  NULL COMMENT "PerformingPhysicianName",
    operators_name            VARCHAR(4096)  NULL COMMENT "OperatorsName",
    manufacturer              VARCHAR(512)   NULL COMMENT "Manufacturer",
    manufacturer_model_name   VARCHAR(512)   NULL COMMENT "ManufacturerModelName",
    device_serial_number      VARCHAR(512)   NULL COMMENT "DeviceSerialNumber",
    software_versions         VARCHAR(2048)  NULL COMMENT "SoftwareVersions",
    trace_id                  VARCHAR(36)    NOT NULL COMMENT "receipt that wrote this row",
    row_version               BIGINT         NOT NULL COMMENT "a smaller one never overwrites a greater",
    findings                  VARCHAR(65533) NOT NULL COMMENT "oddities, one a line",
    INDEX series_by_modality (modality) USING INVERTED,
    INDEX series_by_body_part (body_part_examined) USING INVERTED,
    INDEX series_by_description (series_description) USING INVERTED PROPERTIES("parser" = "chinese")
)
ENGINE = OLAP
UNIQUE KEY(tenant_id, study_uid, series_uid)
DISTRIBUTED BY HASH(tenant_id, study_uid) BUCKETS ${buckets}
PROPERTIES (
    "replication_num" = "${replicas}",
    "enable_unique_key_merge_on_write" = "true",
    "function_column.sequence_type" = "largeint",
    "light_schema_change" = "true"
);

-- One row per object: its newest version.
CREATE TABLE IF NOT EXISTS dicom_image (
    tenant_id                  VARCHAR(64)    NOT NULL COMMENT "which customer: part of every key",
    sop_uid                    VARCHAR(64)    NOT NULL COMMENT "SOPInstanceUID",
    series_uid                 VARCHAR(64)    NOT NULL COMMENT "SeriesInstanceUID",
    study_uid                  VARCHAR(64)    NOT NULL COMMENT "StudyInstanceUID",
    patient_id                 VARCHAR(256)   NOT NULL COMMENT "PatientID, empty when absent",
    sop_class_uid              VARCHAR(64)    NULL COMMENT "SOPClassUID",
    transfer_syntax_uid        VARCHAR(64)    NULL COMMENT "TransferSyntaxUID",
    instance_number            BIGINT         NULL COMMENT "InstanceNumber",
    image_comments             VARCHAR(40960) NULL COMMENT "ImageComments",
    content_date               DATE           NULL COMMENT "ContentDate",
    content_time               VARCHAR(15)    NULL COMMENT "ContentTime, HH:MM:SS.ffffff",
    acquisition_number         BIGINT         NULL COMMENT "AcquisitionNumber",
    acquisition_date           DATE           NULL COMMENT "AcquisitionDate",
    acquisition_time           VARCHAR(15)    NULL COMMENT "AcquisitionTime, HH:MM:SS.ffffff",
    image_type                 VARCHAR(1024)  NULL COMMENT "ImageType",
    image_orientation_patient  VARCHAR(512)   NULL COMMENT "ImageOrientationPatient",
    image_position_patient     VARCHAR(256)   NULL COMMENT "ImagePositionPatient",
    slice_thickness            DOUBLE         NULL COMMENT "SliceThickness",
    spacing_between_slices     DOUBLE         NULL COMMENT "SpacingBetweenSlices",
    pixel_spacing              VARCHAR(256)   NULL COMMENT "PixelSpacing",
    slice_location             DOUBLE         NULL COMMENT "SliceLocation",
    samples_per_pixel          BIGINT         NULL COMMENT "SamplesPerPixel",
    photometric_interpretation VARCHAR(64)    NULL COMMENT "PhotometricInterpretation",
    image_rows                 BIGINT         NULL COMMENT "Rows (a reserved word)",
    image_columns              BIGINT         NULL COMMENT "Columns (a reserved word)",
    bits_allocated             BIGINT         NULL COMMENT "BitsAllocated",
    bits_stored                BIGINT         NULL COMMENT "BitsStored",
    high_bit                   BIGINT         NULL COMMENT "HighBit",
    pixel_representation       BIGINT         NULL COMMENT "PixelRepresentation",
    rescale_intercept          DOUBLE         NULL COMMENT "RescaleIntercept",
    rescale_slope              DOUBLE         NULL COMMENT "RescaleSlope",
    window_center              VARCHAR(1024)  NULL COMMENT "WindowCenter",
    window_width               VARCHAR(1024)  NULL COMMENT "WindowWidth",
    number_of_frames           BIGINT         NULL COMMENT "NumberOfFrames",
    trace_id                   VARCHAR(36)    NOT NULL COMMENT "receipt that wrote this row",
    row_version                BIGINT         NOT NULL COMMENT "a smaller one never overwrites a greater",
    findings                   VARCHAR(65533) NOT NULL COMMENT "oddities, one a line",
    file_path                  VARCHAR(1024)  NULL COMMENT "relative to the storage root",
    file_size                  BIGINT         NULL COMMENT "bytes of the whole Part 10 file",
    tags                       JSON           NULL COMMENT "every attribute of the header, as JSON",
    INDEX image_by_study (study_uid) USING INVERTED,
    INDEX image_by_series (series_uid) USING INVERTED,
    INDEX image_by_patient (patient_id) USING INVERTED,
    INDEX image_by_class (sop_class_uid) USING INVERTED
)
ENGINE = OLAP
UNIQUE KEY(tenant_id, sop_uid)
DISTRIBUTED BY HASH(tenant_id, sop_uid) BUCKETS ${buckets}
PROPERTIES (
    "replication_num" = "${replicas}",
    "enable_unique_key_merge_on_write" = "true",
    "function_column.sequence_type" = "largeint",
    "light_schema_change" = "true"
);
