-- The study index: patient, study, series, instance. Written by the index stage, which also
-- recounts the parents from `instance` in the same transaction. The storage stage inserts missing
-- parents as skeletons (row_version 0, keys only), which the index stage's first word overrides.
--
-- A column's comment names the attribute it holds (dicom_pipeline/imaging/tag_columns.py).

-- One row per patient of a tenant; the newest object that speaks of the patient decides.
CREATE TABLE patient (
    tenant_id                TEXT    NOT NULL,            -- which customer: part of every key
    patient_id               TEXT    NOT NULL DEFAULT '', -- PatientID, empty when absent
    issuer_of_patient_id     TEXT,                        -- IssuerOfPatientID
    patient_name_alphabetic  TEXT,                        -- PatientName, alphabetic group
    patient_name_ideographic TEXT,                        -- PatientName, ideographic group
    patient_name_phonetic    TEXT,                        -- PatientName, phonetic group
    patient_birth_date       TEXT,                        -- PatientBirthDate, YYYY-MM-DD
    patient_birth_time       TEXT,                        -- PatientBirthTime, HH:MM:SS.ffffff
    patient_sex              TEXT,                        -- PatientSex
    patient_comments         TEXT,                        -- PatientComments
    trace_id                 TEXT    NOT NULL,            -- receipt that wrote this row
    row_version              INTEGER NOT NULL,            -- a smaller one never overwrites a greater
    findings                 TEXT    NOT NULL DEFAULT '', -- oddities, one a line
    number_of_studies        INTEGER NOT NULL DEFAULT 0,  -- counted from instance
    number_of_series         INTEGER NOT NULL DEFAULT 0,  -- counted from instance
    number_of_instances      INTEGER NOT NULL DEFAULT 0,  -- counted from instance
    total_size               INTEGER NOT NULL DEFAULT 0,  -- bytes, summed from instance
    PRIMARY KEY (tenant_id, patient_id)
) STRICT;

-- One row per study.
CREATE TABLE study (
    tenant_id                  TEXT    NOT NULL,            -- which customer: part of every key
    study_uid                  TEXT    NOT NULL,            -- StudyInstanceUID
    patient_id                 TEXT    NOT NULL DEFAULT '', -- PatientID, empty when absent
    study_date                 TEXT,                        -- StudyDate, YYYY-MM-DD
    study_time                 TEXT,                        -- StudyTime, HH:MM:SS.ffffff
    accession_number           TEXT,                        -- AccessionNumber
    study_id                   TEXT,                        -- StudyID
    study_description          TEXT,                        -- StudyDescription
    referring_physician_name   TEXT,                        -- ReferringPhysicianName
    admission_id               TEXT,                        -- AdmissionID
    procedure_codes            TEXT,                        -- ProcedureCodeSequence, as JSON
    patient_age                TEXT,                        -- PatientAge
    patient_size               REAL,                        -- PatientSize
    patient_weight             REAL,                        -- PatientWeight
    medical_alerts             TEXT,                        -- MedicalAlerts
    allergies                  TEXT,                        -- Allergies
    pregnancy_status           INTEGER,                     -- PregnancyStatus
    additional_patient_history TEXT,                        -- AdditionalPatientHistory
    trace_id                   TEXT    NOT NULL,            -- receipt that wrote this row
    row_version                INTEGER NOT NULL,            -- a smaller one never overwrites a greater
    findings                   TEXT    NOT NULL DEFAULT '', -- oddities, one a line
    number_of_series           INTEGER NOT NULL DEFAULT 0,  -- counted from instance
    number_of_instances        INTEGER NOT NULL DEFAULT 0,  -- counted from instance
    total_size                 INTEGER NOT NULL DEFAULT 0,  -- bytes, summed from instance
    PRIMARY KEY (tenant_id, study_uid)
) STRICT;

CREATE INDEX study_by_patient ON study (tenant_id, patient_id);
CREATE INDEX study_by_date ON study (tenant_id, study_date);
CREATE INDEX study_by_accession_number ON study (tenant_id, accession_number);

-- One row per series; the key also finds the series of a study. A series UID that two studies use,
-- though it must not be, is two series.
CREATE TABLE series (
    tenant_id                 TEXT    NOT NULL,            -- which customer: part of every key
    study_uid                 TEXT    NOT NULL,            -- StudyInstanceUID
    series_uid                TEXT    NOT NULL,            -- SeriesInstanceUID
    modality                  TEXT,                        -- Modality
    series_number             INTEGER,                     -- SeriesNumber
    series_date               TEXT,                        -- SeriesDate, YYYY-MM-DD
    series_time               TEXT,                        -- SeriesTime, HH:MM:SS.ffffff
    series_description        TEXT,                        -- SeriesDescription
    body_part_examined        TEXT,                        -- BodyPartExamined
    protocol_name             TEXT,                        -- ProtocolName
    performing_physician_name TEXT,                        -- PerformingPhysicianName
    operators_name            TEXT,                        -- OperatorsName
    manufacturer              TEXT,                        -- Manufacturer
    manufacturer_model_name   TEXT,                        -- ManufacturerModelName
    device_serial_number      TEXT,                        -- DeviceSerialNumber
    software_versions         TEXT,                        -- SoftwareVersions
    trace_id                  TEXT    NOT NULL,            -- receipt that wrote this row
    row_version               INTEGER NOT NULL,            -- a smaller one never overwrites a greater
    findings                  TEXT    NOT NULL DEFAULT '', -- oddities, one a line
    number_of_instances       INTEGER NOT NULL DEFAULT 0,  -- counted from instance
    total_size                INTEGER NOT NULL DEFAULT 0,  -- bytes, summed from instance
    PRIMARY KEY (tenant_id, study_uid, series_uid)
) STRICT;

-- One row per object: its newest version.
CREATE TABLE instance (
    tenant_id                  TEXT    NOT NULL,            -- which customer: part of every key
    sop_uid                    TEXT    NOT NULL,            -- SOPInstanceUID
    series_uid                 TEXT    NOT NULL,            -- SeriesInstanceUID
    study_uid                  TEXT    NOT NULL,            -- StudyInstanceUID
    patient_id                 TEXT    NOT NULL DEFAULT '', -- PatientID, empty when absent
    sop_class_uid              TEXT,                        -- SOPClassUID
    transfer_syntax_uid        TEXT,                        -- TransferSyntaxUID
    instance_number            INTEGER,                     -- InstanceNumber
    image_comments             TEXT,                        -- ImageComments
    content_date               TEXT,                        -- ContentDate, YYYY-MM-DD
    content_time               TEXT,                        -- ContentTime, HH:MM:SS.ffffff
    acquisition_number         INTEGER,                     -- AcquisitionNumber
    acquisition_date           TEXT,                        -- AcquisitionDate, YYYY-MM-DD
    acquisition_time           TEXT,                        -- AcquisitionTime, HH:MM:SS.ffffff
    image_type                 TEXT,                        -- ImageType
    image_orientation_patient  TEXT,                        -- ImageOrientationPatient
    image_position_patient     TEXT,                        -- ImagePositionPatient
    slice_thickness            REAL,                        -- SliceThickness
    spacing_between_slices     REAL,                        -- SpacingBetweenSlices
    pixel_spacing              TEXT,                        -- PixelSpacing
    slice_location             REAL,                        -- SliceLocation
    samples_per_pixel          INTEGER,                     -- SamplesPerPixel
    photometric_interpretation TEXT,                        -- PhotometricInterpretation
    image_rows                 INTEGER,                     -- Rows (a reserved word)
    image_columns              INTEGER,                     -- Columns (a reserved word)
    bits_allocated             INTEGER,                     -- BitsAllocated
    bits_stored                INTEGER,                     -- BitsStored
    high_bit                   INTEGER,                     -- HighBit
    pixel_representation       INTEGER,                     -- PixelRepresentation
    rescale_intercept          REAL,                        -- RescaleIntercept
    rescale_slope              REAL,                        -- RescaleSlope
    window_center              TEXT,                        -- WindowCenter
    window_width               TEXT,                        -- WindowWidth
    number_of_frames           INTEGER,                     -- NumberOfFrames
    trace_id                   TEXT    NOT NULL,            -- receipt that wrote this row
    row_version                INTEGER NOT NULL,            -- a smaller one never overwrites a greater
    findings                   TEXT    NOT NULL DEFAULT '', -- oddities, one a line
    file_path                  TEXT    NOT NULL,            -- relative to the storage root
    file_size                  INTEGER NOT NULL,            -- bytes of the whole Part 10 file
    PRIMARY KEY (tenant_id, sop_uid)
) STRICT;

-- Both cover a recount, so that it reads no table row.
CREATE INDEX instance_by_series ON instance (tenant_id, study_uid, series_uid, file_size);
CREATE INDEX instance_by_patient
    ON instance (tenant_id, patient_id, study_uid, series_uid, file_size);
