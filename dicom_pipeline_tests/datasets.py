"""Small valid data sets for tests."""

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

ROOT = "1.2.826.0.1.3680043.8.498."


def an_image(seed: int = 0, **attributes) -> Dataset:
    """A CT slice of 16 × 16 pixels; equal seeds give equal data sets."""
    pixels = np.random.default_rng(seed).integers(0, 4096, (16, 16), dtype=np.uint16)
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = CTImageStorage
    ds.SOPInstanceUID = generate_uid(ROOT, [f"image {seed}"])
    ds.StudyDate = "20260131"
    ds.Modality = "CT"
    ds.PatientName = "Wang^XiaoDong"
    ds.PatientID = "P1"
    ds.StudyInstanceUID = generate_uid(ROOT, ["study"])
    ds.SeriesInstanceUID = generate_uid(ROOT, ["series"])
    ds.InstanceNumber = seed
    ds.SamplesPerPixel = 1
    ds.PhotometricInterpretation = "MONOCHROME2"
    ds.Rows, ds.Columns = pixels.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PixelRepresentation = 0
    ds.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        setattr(ds, keyword, value)
    ds.file_meta.MediaStorageSOPClassUID = ds.SOPClassUID
    ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPInstanceUID
    return ds
