"""The objects that are sent: synthetic CT slices with the header of a real one."""

from collections.abc import Callable
from io import BytesIO
from typing import Final

import numpy as np
from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from benchmarks.template import Template, uids

_PART10_HEAD: Final = 144
"""Preamble, `DICM`, and the element that holds the length of the rest of group 0002."""

_ATTRIBUTES: Final = {
    "SpecificCharacterSet": "ISO_IR 100",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL", "CT_SOM5 SPI"],
    "InstanceCreationDate": "20260131",
    "InstanceCreationTime": "101112.123000",
    "StudyDate": "20260131",
    "SeriesDate": "20260131",
    "AcquisitionDate": "20260131",
    "ContentDate": "20260131",
    "StudyTime": "101010.500000",
    "SeriesTime": "101100.250000",
    "AcquisitionTime": "101105.750000",
    "ContentTime": "101105.750000",
    "AccessionNumber": "A202601310001",
    "Modality": "CT",
    "Manufacturer": "Benchmark Medical Systems",
    "InstitutionName": "General Hospital of the Benchmark",
    "InstitutionAddress": "1 Loopback Street, 127001 Localhost",
    "ReferringPhysicianName": "Referrer^Rita",
    "StationName": "CTAWP0001",
    "StudyDescription": "Thorax with contrast",
    "SeriesDescription": "Thorax 1.0 B70f",
    "InstitutionalDepartmentName": "Radiology",
    "PhysiciansOfRecord": "Record^Rob",
    "PerformingPhysicianName": "Performer^Pat",
    "OperatorsName": "Operator^Olga",
    "ManufacturerModelName": "Definition Flash",
    "PatientName": "Synthetic^Patient",
    "PatientID": "BENCH0001",
    "IssuerOfPatientID": "BENCH",
    "PatientBirthDate": "19600101",
    "PatientSex": "O",
    "PatientAge": "066Y",
    "PatientSize": "1.75",
    "PatientWeight": "75",
    "AdditionalPatientHistory": "None that a synthetic patient could have.",
    "BodyPartExamined": "CHEST",
    "ContrastBolusAgent": "Contrast agent 350",
    "ScanOptions": "SPIRAL",
    "SliceThickness": "1",
    "KVP": "120",
    "DataCollectionDiameter": "500",
    "DeviceSerialNumber": "73001",
    "SoftwareVersions": "bench 2026A",
    "ProtocolName": "ThoraxRoutine",
    "ContrastBolusRoute": "IV",
    "ContrastBolusVolume": "90",
    "ContrastFlowRate": ["3", "3"],
    "ContrastFlowDuration": ["20", "10"],
    "ReconstructionDiameter": "350",
    "DistanceSourceToDetector": "1085.6",
    "DistanceSourceToPatient": "595",
    "GantryDetectorTilt": "0",
    "TableHeight": "150",
    "RotationDirection": "CW",
    "ExposureTime": "500",
    "XRayTubeCurrent": "210",
    "Exposure": "105",
    "FilterType": "FLAT",
    "GeneratorPower": "55",
    "FocalSpots": "1.2",
    "DateOfLastCalibration": "20260130",
    "TimeOfLastCalibration": "070000.000000",
    "ConvolutionKernel": "B70f",
    "PatientPosition": "HFS",
    "SingleCollimationWidth": 0.6,
    "TotalCollimationWidth": 38.4,
    "TableSpeed": 46.0,
    "TableFeedPerRotation": 23.0,
    "SpiralPitchFactor": 0.6,
    "ExposureModulationType": "XYZ_EC",
    "CTDIvol": 7.1,
    "StudyID": "1",
    "SeriesNumber": "4",
    "AcquisitionNumber": "1",
    "InstanceNumber": "1",
    "ImagePositionPatient": ["-174.658203125", "-174.658203125", "-1231.5"],
    "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    "PositionReferenceIndicator": "XY",
    "SliceLocation": "-1231.5",
    "ImageComments": "Made for a benchmark",
    "SamplesPerPixel": 1,
    "PhotometricInterpretation": "MONOCHROME2",
    "PixelSpacing": ["0.68359375", "0.68359375"],
    "BitsAllocated": 16,
    "BitsStored": 12,
    "HighBit": 11,
    "PixelRepresentation": 0,
    "SmallestImagePixelValue": 0,
    "LargestImagePixelValue": 4095,
    "WindowCenter": ["-600", "40"],
    "WindowWidth": ["1200", "400"],
    "RescaleIntercept": "-1024",
    "RescaleSlope": "1",
    "RescaleType": "HU",
    "WindowCenterWidthExplanation": ["WINDOW1", "WINDOW2"],
    "RequestingPhysician": "Requester^Rhea",
    "RequestedProcedureDescription": "CT thorax with contrast",
    "PerformedProcedureStepStartDate": "20260131",
    "PerformedProcedureStepStartTime": "101010.500000",
    "PerformedProcedureStepID": "PPS0001",
    "PerformedProcedureStepDescription": "CT thorax",
}


def ct() -> Template:
    """A CT slice of 512 × 512 × 16 bit: 528 KB."""
    return _template("ct", 512)


def small() -> Template:
    """The same header with few pixels: 19 KB."""
    return _template("small", 91)


LOADS: Final[dict[str, Callable[[], Template]]] = {"ct": ct, "small": small}


def _template(name: str, edge: int) -> Template:
    values = {kind: uid.decode().rstrip("\0") for kind, uid in uids(0, 0).items()}
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID = CTImageStorage
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID = values["instance"]
    ds.StudyInstanceUID, ds.SeriesInstanceUID = values["study"], values["series"]
    for keyword, value in _ATTRIBUTES.items():
        setattr(ds, keyword, value)
    ds.FrameOfReferenceUID = f"{CTImageStorage}.1"
    ds.ReferencedStudySequence = [_reference("1.2.840.10008.3.1.2.3.1")]
    ds.ReferencedImageSequence = [_reference(CTImageStorage) for _ in range(2)]
    ds.RequestAttributesSequence = Sequence([Dataset()])
    ds.RequestAttributesSequence[0].RequestedProcedureID = "RP0001"
    ds.RequestAttributesSequence[0].ScheduledProcedureStepID = "SPS0001"
    ds.Rows = ds.Columns = edge
    ds.PixelData = _pixels(edge)
    ds["PixelData"].VR = "OW"
    file = BytesIO()
    dcmwrite(file, ds, enforce_file_format=True)
    content = file.getvalue()
    start = _PART10_HEAD + int.from_bytes(content[_PART10_HEAD - 4 : _PART10_HEAD], "little")
    return Template(name, str(CTImageStorage), content[start:], content[:start])


def _pixels(edge: int) -> bytes:
    """Smooth anatomy with noise: as compressible as a CT slice."""
    y, x = np.mgrid[-1 : 1 : edge * 1j, -1 : 1 : edge * 1j]
    smooth = 1000 + 800 * np.cos(3 * x) * np.cos(4 * y)
    noise = np.random.default_rng(1).normal(0, 15, smooth.shape)
    return np.clip(smooth + noise, 0, 4095).astype("<u2").tobytes()


def _reference(sop_class_uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID = sop_class_uid
    item.ReferencedSOPInstanceUID = f"{sop_class_uid}.2"
    return item
