"""Studies whose images tell by their grey which they are, taken through the real stages."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Final

import imagecodecs
import numpy as np

from dicom_pipeline.manifests.writing import Writer
from dicom_pipeline_tests.flow import open_flow
from dicom_pipeline_tests.imaging.images import (
    EXPLICIT,
    P,
    encapsulated,
    header,
    native,
    palettes,
    save,
)
from dicom_pipeline_tests.imaging.video.clips import object_of

CT_IMAGE: Final = "1.2.840.10008.5.1.4.1.1.2"
BASIC_TEXT_SR: Final = "1.2.840.10008.5.1.4.1.1.88.11"
CHEST, MIXED, VIDEO, HOSTILE, COLOURS = (
    f"1.2.826.0.1.3680043.8.498.{number}" for number in range(1, 6)
)
HOSTILE_NAME: Final = "<img src>^<b>"
"""A name of a person may not hold an equals sign: it parts its representations."""
HOSTILE_TEXT: Final = "<img src=x onerror=document.title='owned'>"
WIDE_COLOUR: Final = 60_000, 10_000, 30_000
ODD_COLOUR: Final = 200, 100, 50
SLICES: Final = 5
CENTER, WIDTH = 40, 400


def slice_value(number: int) -> int:
    """HU of every pixel of a slice, counted from 1."""
    return -160 + 60 * number


def grey(value: float, center: float = CENTER, width: float = WIDTH) -> float:
    """What a value is shown as, 0 to 255 (PS3.3 C.11.2.1.2)."""
    return float(np.clip(((value - (center - 0.5)) / (width - 1) + 0.5) * 255, 0, 255))


def object_uid(study: str, series: int, number: int) -> str:
    """SOPInstanceUID of an object made here."""
    return f"{study}.{series}.{number}"


def _attributes(study: str, series: int, number: int, **more: Any) -> dict[str, Any]:
    return {
        "SpecificCharacterSet": "GB18030",
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.{series}",
        "SOPInstanceUID": object_uid(study, series, number),
        "SeriesNumber": series,
        "InstanceNumber": number,
        "PatientName": "Zhang^Xiaodong=张^小东",
        "PatientID": "P-0001",
        "StudyDate": f"2026010{study[-1]}",
        "StudyTime": "101500",
        "Modality": "OT",
        **more,
    }


def _chest(folder: Path) -> Iterator[Path]:
    for number in range(1, SLICES + 1):
        pixels = np.full((64, 64), slice_value(number) + 1024, np.uint16)
        described = _attributes(
            CHEST,
            1,
            number,
            SOPClassUID=CT_IMAGE,
            Modality="CT",
            StudyDescription="胸部平扫",
            SeriesDescription="Axial",
            BitsStored=12,
            RescaleIntercept=-1024,
            RescaleSlope=1,
            WindowCenter=CENTER,
            WindowWidth=WIDTH,
            ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
            ImagePositionPatient=[0, 0, number],
            PixelSpacing=[1, 1],
        )
        yield native(folder / f"ct{number}.dcm", pixels, **described)
    frames = np.stack([np.full((48, 48), 40 * number, np.uint8) for number in range(1, 5)])
    described = _attributes(
        CHEST, 2, 1, Modality="CT", NumberOfFrames=4, WindowCenter=128, WindowWidth=256
    )
    yield native(folder / "frames.dcm", frames, **described)


def _mixed(folder: Path) -> Iterator[Path]:
    right_dark = np.repeat(np.array([[50, 200]], np.uint8), 48, axis=0).repeat(24, axis=1)
    window = {"WindowCenter": 128, "WindowWidth": 256}
    yield native(folder / "grey.dcm", right_dark, **_attributes(MIXED, 1, 1, **window))
    described = _attributes(MIXED, 1, 2, PhotometricInterpretation="MONOCHROME1", **window)
    yield native(folder / "inverse.dcm", right_dark, **described)
    colour = np.zeros((48, 48, 3), np.uint8)
    colour[:] = 220, 40, 90
    yield native(folder / "colour.dcm", colour, **_attributes(MIXED, 1, 3))
    ds = palettes(
        header(right_dark, **_attributes(MIXED, 1, 4, PhotometricInterpretation="PALETTE COLOR"))
    )
    ds.add_new("PixelData", "OW", right_dark.tobytes())
    yield save(folder / "palette.dcm", ds, EXPLICIT)
    noisy = np.random.default_rng(3).integers(0, 4096, (96, 96), np.uint16)
    stream = imagecodecs.jpeg2k_encode(noisy, codecformat="j2k", reversible=True)
    cut = stream[: len(stream) // 3]
    described = _attributes(MIXED, 1, 5, BitsStored=12)
    yield encapsulated(
        folder / "cut.dcm", noisy, f"{P}.4.90", [cut + b"\0" * (len(cut) % 2)], **described
    )
    report = header(
        right_dark, **_attributes(MIXED, 2, 1, SOPClassUID=BASIC_TEXT_SR, Modality="SR")
    )
    for keyword in ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit"):
        delattr(report, keyword)
    yield save(folder / "report.dcm", report, EXPLICIT)


def _colours(folder: Path) -> Iterator[Path]:
    wide = np.full((48, 48, 3), WIDE_COLOUR, np.uint16)
    yield native(folder / "wide.dcm", wide, **_attributes(COLOURS, 1, 1))
    yield native(folder / "twelve.dcm", wide // 16, **_attributes(COLOURS, 1, 2, BitsStored=12))
    odd = np.full((5, 5, 3), ODD_COLOUR, np.uint8)
    yield native(folder / "odd.dcm", odd, **_attributes(COLOURS, 1, 3))


def _hostile(folder: Path) -> Iterator[Path]:
    pixels = np.full((32, 32), 90, np.uint8)
    described = _attributes(
        HOSTILE,
        1,
        1,
        PatientName=HOSTILE_NAME,
        PatientID=HOSTILE_TEXT,
        StudyDescription=HOSTILE_TEXT,
        SeriesDescription=HOSTILE_TEXT,
    )
    yield native(folder / "hostile.dcm", pixels, **described)


def make_home(home: Path, folder: Path) -> None:
    """Take the studies through receiver and stages, and write their manifests."""
    video = object_of(
        folder / "video.dcm", "h264-stream", **_attributes(VIDEO, 1, 1, Modality="ES")
    )
    sources = [maker(folder) for maker in (_chest, _mixed, _colours, _hostile)]
    with open_flow(home) as flow:
        for path in (*chain.from_iterable(sources), video):
            flow.receive_file(path)
        flow.run_all()
        for _ in Writer(flow.settings, flow.catalog).write_due():
            pass
