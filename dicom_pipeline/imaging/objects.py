"""Opening a stored object: its data set, its transfer syntax and how sound its file is."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from pydicom import dcmread
from pydicom.dataset import Dataset, FileDataset

from dicom_pipeline.imaging.container import Fault, find_fault
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.quiet import quiet_pydicom
from dicom_pipeline.imaging.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    TRANSFER_SYNTAXES,
    Family,
    TransferSyntax,
)

PIXEL_KEYWORDS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_IDENTIFYING: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "MediaStorageSOPClassUID",
    *PIXEL_KEYWORDS,
)


class DicomObject(NamedTuple):
    """One object as it lies in a file."""

    dataset: Dataset
    """Elements are raw until they are asked for."""
    syntax_uid: str
    syntax: TransferSyntax | None
    """None for a syntax that is not in the table."""
    fault: Fault | None
    """What a strict parser stumbles over; None when the file is sound."""

    @property
    def pixel_keyword(self) -> str | None:
        """Keyword of the element that holds pixels."""
        return next((keyword for keyword in PIXEL_KEYWORDS if keyword in self.dataset), None)

    @property
    def pixel_bytes(self) -> bytes:
        """The value of the element that holds pixels; empty when there is none."""
        keyword = self.pixel_keyword
        return (self.dataset.get_item(keyword).value or b"") if keyword else b""


@contextmanager
def open_object(path: Path) -> Iterator[DicomObject]:
    """Read the object in ``path``; the file is mapped, so that a false length allocates nothing.

    Raises:
        ImagingError: what is in the file is no DICOM object.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        if not path.stat().st_size:
            raise ImagingError(ErrorCode.UNREADABLE_OBJECT, "the file is empty")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data, quiet_pydicom():
            yield _read(data)


def _read(data: mmap.mmap) -> DicomObject:
    try:
        dataset = dcmread(cast("BinaryIO", data), force=True)
        known = any(
            keyword in elements
            for keyword in _IDENTIFYING
            for elements in (dataset, dataset.file_meta)
        )
    except MemoryError:
        raise
    except Exception as error:
        # pydicom raises nearly any exception for a file that is broken in a new way.
        raise ImagingError(
            ErrorCode.UNREADABLE_OBJECT,
            f"pydicom cannot read the data set ({type(error).__name__})",
            "pydicom",
        ) from error
    if not known:
        raise ImagingError(
            ErrorCode.UNREADABLE_OBJECT,
            "neither a SOP class, a SOP instance nor pixel data: not a DICOM object",
        )
    uid = _syntax_uid(dataset)
    syntax = TRANSFER_SYNTAXES.get(uid)
    fault = None
    # A deflated data set is always rewritten, and zlib itself tells when it ends early.
    if syntax is None or syntax.family is not Family.DEFLATED:
        implicit_vr, little_endian = dataset.original_encoding
        fault = find_fault(data, implicit_vr=bool(implicit_vr), little_endian=bool(little_endian))
    return DicomObject(dataset, uid, syntax, fault)


def _syntax_uid(dataset: FileDataset) -> str:
    """What the file says, or else what pydicom found the encoding of the data set to be."""
    named = str(dataset.file_meta.get("TransferSyntaxUID", "") or "").strip()
    if named:
        return named
    implicit_vr, little_endian = dataset.original_encoding
    if implicit_vr:
        return IMPLICIT_VR_LITTLE_ENDIAN
    return EXPLICIT_VR_LITTLE_ENDIAN if little_endian else EXPLICIT_VR_BIG_ENDIAN
