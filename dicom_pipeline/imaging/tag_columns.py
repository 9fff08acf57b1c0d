"""Which attributes become columns of patient, study, series and image, and in which form.

The one list from which the tag reader, the loaders and the checks of the DDL derive. Names are the
attributes' keywords in snake case; where PS3.3 puts an attribute into another module than the
reader may expect, the standard's module decides (PerformingPhysicianName: General Series).
"""

from enum import Enum
from typing import Final, NamedTuple


class Kind(Enum):
    """How a value is kept."""

    TEXT = "text"
    """Text; several values joined by a backslash."""
    PERSON_NAME = "person name"
    """PS3.5 6.2: the whole name, its component groups joined by ``=``."""
    NAME_ALPHABETIC = "alphabetic component group of a person name"
    NAME_IDEOGRAPHIC = "ideographic component group of a person name"
    NAME_PHONETIC = "phonetic component group of a person name"
    DATE = "date"
    """``YYYY-MM-DD``."""
    TIME = "time"
    """``HH:MM:SS.ffffff``."""
    INTEGER = "integer"
    REAL = "real number"
    CODES = "codes"
    """A code sequence as JSON: ``[{"value": …, "scheme": …, "meaning": …}]``."""


class TagColumn(NamedTuple):
    """One column: its name, the DICOM keyword it comes from, its form and its longest text."""

    name: str
    keyword: str
    kind: Kind
    length: int | None = None
    """Longest text in characters; longer ones are cut, with a finding. None: not text."""


T: Final = Kind.TEXT

PATIENT: Final = (
    TagColumn("patient_id", "PatientID", T, 64),
    TagColumn("issuer_of_patient_id", "IssuerOfPatientID", T, 64),
    TagColumn("patient_name_alphabetic", "PatientName", Kind.NAME_ALPHABETIC, 64),
    TagColumn("patient_name_ideographic", "PatientName", Kind.NAME_IDEOGRAPHIC, 64),
    TagColumn("patient_name_phonetic", "PatientName", Kind.NAME_PHONETIC, 64),
    TagColumn("patient_birth_date", "PatientBirthDate", Kind.DATE),
    TagColumn("patient_birth_time", "PatientBirthTime", Kind.TIME),
    TagColumn("patient_sex", "PatientSex", T, 16),
    TagColumn("patient_comments", "PatientComments", T, 10240),
)

STUDY: Final = (
    TagColumn("study_uid", "StudyInstanceUID", T, 64),
    TagColumn("patient_id", "PatientID", T, 64),
    TagColumn("study_date", "StudyDate", Kind.DATE),
    TagColumn("study_time", "StudyTime", Kind.TIME),
    TagColumn("accession_number", "AccessionNumber", T, 64),
    TagColumn("study_id", "StudyID", T, 64),
    TagColumn("study_description", "StudyDescription", T, 256),
    TagColumn("referring_physician_name", "ReferringPhysicianName", Kind.PERSON_NAME, 200),
    TagColumn("admission_id", "AdmissionID", T, 64),
    TagColumn("procedure_codes", "ProcedureCodeSequence", Kind.CODES),
    TagColumn("patient_age", "PatientAge", T, 16),
    TagColumn("patient_size", "PatientSize", Kind.REAL),
    TagColumn("patient_weight", "PatientWeight", Kind.REAL),
    TagColumn("medical_alerts", "MedicalAlerts", T, 1024),
    TagColumn("allergies", "Allergies", T, 1024),
    TagColumn("pregnancy_status", "PregnancyStatus", Kind.INTEGER),
    TagColumn("additional_patient_history", "AdditionalPatientHistory", T, 10240),
)

SERIES: Final = (
    TagColumn("series_uid", "SeriesInstanceUID", T, 64),
    TagColumn("study_uid", "StudyInstanceUID", T, 64),
    TagColumn("modality", "Modality", T, 16),
    TagColumn("series_number", "SeriesNumber", Kind.INTEGER),
    TagColumn("series_date", "SeriesDate", Kind.DATE),
    TagColumn("series_time", "SeriesTime", Kind.TIME),
    TagColumn("series_description", "SeriesDescription", T, 256),
    TagColumn("body_part_examined", "BodyPartExamined", T, 64),
    TagColumn("protocol_name", "ProtocolName", T, 256),
    TagColumn("performing_physician_name", "PerformingPhysicianName", Kind.PERSON_NAME, 1024),
    TagColumn("operators_name", "OperatorsName", Kind.PERSON_NAME, 1024),
    TagColumn("manufacturer", "Manufacturer", T, 128),
    TagColumn("manufacturer_model_name", "ManufacturerModelName", T, 128),
    TagColumn("device_serial_number", "DeviceSerialNumber", T, 128),
    TagColumn("software_versions", "SoftwareVersions", T, 512),
)

IMAGE: Final = (
    TagColumn("sop_uid", "SOPInstanceUID", T, 64),
    TagColumn("series_uid", "SeriesInstanceUID", T, 64),
    TagColumn("study_uid", "StudyInstanceUID", T, 64),
    TagColumn("patient_id", "PatientID", T, 64),
    TagColumn("sop_class_uid", "SOPClassUID", T, 64),
    TagColumn("transfer_syntax_uid", "TransferSyntaxUID", T, 64),
    TagColumn("instance_number", "InstanceNumber", Kind.INTEGER),
    TagColumn("image_comments", "ImageComments", T, 10240),
    TagColumn("content_date", "ContentDate", Kind.DATE),
    TagColumn("content_time", "ContentTime", Kind.TIME),
    TagColumn("acquisition_number", "AcquisitionNumber", Kind.INTEGER),
    TagColumn("acquisition_date", "AcquisitionDate", Kind.DATE),
    TagColumn("acquisition_time", "AcquisitionTime", Kind.TIME),
    TagColumn("image_type", "ImageType", T, 256),
    TagColumn("image_orientation_patient", "ImageOrientationPatient", T, 128),
    TagColumn("image_position_patient", "ImagePositionPatient", T, 64),
    TagColumn("slice_thickness", "SliceThickness", Kind.REAL),
    TagColumn("spacing_between_slices", "SpacingBetweenSlices", Kind.REAL),
    TagColumn("pixel_spacing", "PixelSpacing", T, 64),
    TagColumn("slice_location", "SliceLocation", Kind.REAL),
    TagColumn("samples_per_pixel", "SamplesPerPixel", Kind.INTEGER),
    TagColumn("photometric_interpretation", "PhotometricInterpretation", T, 16),
    # "rows" and "columns" are reserved words in SQL
    TagColumn("image_rows", "Rows", Kind.INTEGER),
    TagColumn("image_columns", "Columns", Kind.INTEGER),
    TagColumn("bits_allocated", "BitsAllocated", Kind.INTEGER),
    TagColumn("bits_stored", "BitsStored", Kind.INTEGER),
    TagColumn("high_bit", "HighBit", Kind.INTEGER),
    TagColumn("pixel_representation", "PixelRepresentation", Kind.INTEGER),
    TagColumn("rescale_intercept", "RescaleIntercept", Kind.REAL),
    TagColumn("rescale_slope", "RescaleSlope", Kind.REAL),
    TagColumn("window_center", "WindowCenter", T, 256),
    TagColumn("window_width", "WindowWidth", T, 256),
    TagColumn("number_of_frames", "NumberOfFrames", Kind.INTEGER),
)
