"""A video for the demonstration, which needs no encoder: H.264 whose samples are not compressed.

Every picture stands alone and every macroblock of it is I_PCM (ITU-T H.264 7.3.5): a few header
bits, then its samples.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.tag import Tag
from pydicom.uid import MPEG4HP41, UID, VideoEndoscopicImageStorage, generate_uid

FRAMES: Final = 50
RATE: Final = 25
"""Frames a second."""
ROWS, COLUMNS = 144, 192

_MACROBLOCK: Final = 16
_START_CODE: Final = b"\0\0\0\1"
_SEQUENCE, _PICTURE, _IDR = 0x67, 0x68, 0x65
"""First bytes of the NAL units (7.3.1)."""
_I_PCM: Final = b"\x0d\0"
"""``mb_type`` 25 as ue(v), and zeros to the next byte."""
_STOP: Final = "1"
_GREY: Final = 128
_HAND: Final = 5
"""Half the width of the phantom's hand, in pixels."""


def video(path: Path) -> Path:
    """Write a video object of a turning phantom, the same bytes each time; what is there stays."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        _data_set().save_as(partial, enforce_file_format=True)
        partial.replace(path)
    return path


def phantom(number: int) -> NDArray[np.uint8]:
    """The samples of a frame: ``(rows, columns)``, with a hand that turns once in all frames."""
    rows, columns = np.ogrid[:ROWS, :COLUMNS]
    y, x = rows - ROWS / 2, columns - COLUMNS / 2
    inside = x**2 + y**2 < (ROWS / 2.2) ** 2
    angle = 2 * np.pi * number / FRAMES
    along = x * np.cos(angle) + y * np.sin(angle)
    across = y * np.cos(angle) - x * np.sin(angle)
    image = np.where(inside, 90 + 40 * np.cos(x / 9) * np.cos(y / 9), 30)
    image[(along > 0) & (abs(across) < _HAND) & inside] = 220
    return image.astype(np.uint8)


def stream() -> bytes:
    """All frames as an H.264 elementary stream."""
    return b"".join(_units())


def _units() -> Iterator[bytes]:
    rows, columns = ROWS // _MACROBLOCK, COLUMNS // _MACROBLOCK
    # Constrained Baseline, level 2.1; pictures are shown in the order of coding (type 2).
    sequence = _ue(0, 0, 2, 0) + "0" + _ue(columns - 1, rows - 1) + "1100" + _STOP
    yield _START_CODE + bytes([_SEQUENCE, 66, 0xC0, 21]) + _bytes(sequence)
    yield (
        _START_CODE
        + bytes([_PICTURE])
        + _bytes(_ue(0, 0) + "00" + _ue(0, 0, 0) + "000" + _ue(0, 0, 0) + "000" + _STOP)
    )
    for number in range(FRAMES):
        # An I slice from the first macroblock on, frame 0 of its own sequence.
        header = _ue(0, 7, 0) + "0000" + _ue(number % 2) + "00" + _ue(0)
        first, *rest = _macroblocks(phantom(number))
        yield _START_CODE + bytes([_IDR]) + _bytes(header + _ue(25)) + first
        yield b"".join(_I_PCM + block for block in rest) + _bytes(_STOP)


def _macroblocks(image: NDArray[np.uint8]) -> Iterator[bytes]:
    """16 x 16 samples of luma and grey chroma each. No sample is 0, which could mean a start."""
    chroma = bytes([_GREY]) * (2 * (_MACROBLOCK // 2) ** 2)
    for row in range(0, ROWS, _MACROBLOCK):
        for column in range(0, COLUMNS, _MACROBLOCK):
            block = image[row : row + _MACROBLOCK, column : column + _MACROBLOCK]
            yield block.tobytes() + chroma


def _ue(*values: int) -> str:
    """Unsigned Exp-Golomb codes as digits (9.1)."""
    codes = (f"{value + 1:b}" for value in values)
    return "".join("0" * (len(code) - 1) + code for code in codes)


def _bytes(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def _uid(what: str) -> UID:
    return generate_uid(entropy_srcs=["dicom-pipeline demo", "video", what])


def _data_set() -> Dataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = MPEG4HP41
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SpecificCharacterSet = "GB18030"
    dataset.ImageType = ["ORIGINAL", "PRIMARY"]
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID = VideoEndoscopicImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = _uid("object")
    dataset.StudyDate = dataset.ContentDate = "20240229"
    dataset.StudyTime = dataset.ContentTime = "113000"
    dataset.AccessionNumber = "DEMO-0002"
    dataset.Modality = "ES"
    dataset.Manufacturer = "dicom-pipeline"
    dataset.InstitutionName = "示范医院"
    dataset.StudyDescription = "内镜录像"
    dataset.SeriesDescription = "Phantom 2 s"
    dataset.PatientName = "Li^Min=李^敏"
    dataset.PatientID = "DEMO-ES"
    dataset.PatientSex = "O"
    dataset.StudyInstanceUID = _uid("study")
    dataset.SeriesInstanceUID = _uid("series")
    dataset.StudyID = "1"
    dataset.SeriesNumber = dataset.InstanceNumber = 1
    dataset.FrameTime = 1000 / RATE
    dataset.CineRate = RATE
    dataset.NumberOfFrames = FRAMES
    dataset.FrameIncrementPointer = Tag("FrameTime")
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "YBR_PARTIAL_420"
    dataset.PlanarConfiguration = 0
    dataset.Rows, dataset.Columns = ROWS, COLUMNS
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelRepresentation = 0
    dataset.LossyImageCompression = "00"
    coded = stream()
    pixels = DataElement("PixelData", "OB", encapsulate([coded], has_bot=False))
    pixels.is_undefined_length = True
    dataset[pixels.tag] = pixels
    return dataset
