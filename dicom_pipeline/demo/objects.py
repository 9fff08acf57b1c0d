"""What the demonstration sends: files that come with pydicom, and a generated CT series."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pydicom.data
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from dicom_pipeline.cli.sending import Outgoing, find_files, read_outgoing

SLICES: Final = 200
SIZE: Final = 512
"""Rows and columns of a slice."""
_STRIPPED: Final = "TINY_ALPHA"
"""A folder of images whose pixel data was taken out: they would only show as failures."""
_AIR: Final = 0
_TISSUE: Final = 1064
_BONE: Final = 1900
_NOISE: Final = 24


def bundled_objects() -> list[Outgoing]:
    """The DICOM files inside the installed pydicom that can be sent; none is downloaded."""
    assert pydicom.data.__file__
    folder = Path(pydicom.data.__file__).parent
    paths = (path for path in find_files([folder]) if _STRIPPED not in path.parts)
    return [one for path in paths if (one := read_outgoing(path))]


def ct_series(folder: Path, slices: int = SLICES) -> Iterator[Path]:
    """Write a CT series of a phantom, the same bytes each time; what is there stays."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [
        (number, path)
        for number in range(1, slices + 1)
        if not (path := folder / f"{number:04d}.dcm").exists()
    ]
    if missing:
        body = phantom()
        template = _template()
        for number, path in missing:
            _write_slice(template, body, number, path)
    yield from (folder / f"{number:04d}.dcm" for number in range(1, slices + 1))


def phantom() -> NDArray[np.uint16]:
    """A body with a spine in air: ``(rows, columns)``, stored values (HU + 1024)."""
    rows, columns = np.ogrid[:SIZE, :SIZE]
    middle = SIZE / 2
    image = np.full((SIZE, SIZE), _AIR, np.uint16)
    image[((columns - middle) / 220) ** 2 + ((rows - middle) / 160) ** 2 <= 1] = _TISSUE
    image[((columns - middle) / 28) ** 2 + ((rows - middle - 90) / 24) ** 2 <= 1] = _BONE
    noise = np.random.default_rng(1).integers(0, _NOISE, (SIZE, SIZE), np.uint16)
    image += noise
    return image


def _uid(*what: str) -> UID:
    return generate_uid(entropy_srcs=["dicom-pipeline demo", *what])


def _template() -> Dataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SpecificCharacterSet = "GB18030"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SOPClassUID = CTImageStorage
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = "20240229"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = "101500"
    dataset.AccessionNumber = "DEMO-0001"
    dataset.Modality = "CT"
    dataset.Manufacturer = "dicom-pipeline"
    dataset.InstitutionName = "示范医院"
    dataset.StudyDescription = "胸部平扫"
    dataset.SeriesDescription = "Phantom 1 mm"
    dataset.PatientName = "Zhang^Xiaodong=张^小东"
    dataset.PatientID = "DEMO-CT"
    dataset.PatientBirthDate = "19700101"
    dataset.PatientSex = "O"
    dataset.BodyPartExamined = "CHEST"
    dataset.SliceThickness = 1
    dataset.KVP = 120
    dataset.PatientPosition = "HFS"
    dataset.StudyInstanceUID = _uid("study")
    dataset.SeriesInstanceUID = _uid("series")
    dataset.FrameOfReferenceUID = _uid("frame of reference")
    dataset.StudyID = "1"
    dataset.SeriesNumber = dataset.AcquisitionNumber = 1
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [0.75, 0.75]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows = dataset.Columns = SIZE
    dataset.BitsAllocated = 16
    dataset.BitsStored = 12
    dataset.HighBit = 11
    dataset.PixelRepresentation = 0
    dataset.WindowCenter = 40
    dataset.WindowWidth = 400
    dataset.RescaleIntercept = -1024
    dataset.RescaleSlope = 1
    dataset.RescaleType = "HU"
    return dataset


def _write_slice(template: Dataset, body: NDArray[np.uint16], number: int, path: Path) -> None:
    uid = _uid("slice", str(number))
    template.file_meta.MediaStorageSOPInstanceUID = uid
    template.SOPInstanceUID = uid
    template.InstanceNumber = number
    template.ImagePositionPatient = [-192, -192, number]
    template.SliceLocation = number
    template.PixelData = np.roll(body, number, axis=0).tobytes()
    partial = path.with_suffix(".partial")
    template.save_as(partial, enforce_file_format=True)
    partial.replace(path)
