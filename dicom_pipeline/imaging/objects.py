"""Opening a stored object: its data set, its pixels, its transfer syntax, how sound its file is."""

import io
import os
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filereader import _read_file_meta_info, read_preamble
from pydicom.fileutil import read_undefined_length_value
from pydicom.filewriter import write_file_meta_info
from pydicom.tag import SequenceDelimiterTag, Tag
from pydicom.uid import UID

from dicom_pipeline.imaging.container import Fault, find_fault
from dicom_pipeline.imaging.file_ranges import EMPTY, FileRange
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.quiet import quiet_pydicom
from dicom_pipeline.imaging.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    GE_PRIVATE,
    IMPLICIT_VR_LITTLE_ENDIAN,
    PAPYRUS,
    TRANSFER_SYNTAXES,
    Family,
    TransferSyntax,
)

PIXEL_KEYWORDS: Final = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
INFLATED_LIMIT: Final = 1 << 32
"""Most bytes that a deflated data set may inflate to. They are spooled, not held in memory."""
_IMPLICIT_VR: Final = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, GE_PRIVATE, PAPYRUS})
_IDENTIFYING: Final = (
    "SOPClassUID",
    "SOPInstanceUID",
    "MediaStorageSOPClassUID",
)
_DEFLATED: Final = b"1.2.840.10008.1.2.1.99"
_READ_AT_ONCE: Final = 1 << 16
"""Longest value in bytes that is read where the data set is parsed."""
_UNDEFINED: Final = 0xFFFFFFFF
_BLOCK: Final = 1 << 18


class PixelElement(NamedTuple):
    """The element that holds pixels."""

    keyword: str
    vr: str | None
    """None in implicit VR."""
    value: FileRange
    """Of fragments, what follows them in the file too."""


class DicomObject(NamedTuple):
    """One object as it lies in a file that is open for as long as this is used."""

    dataset: Dataset
    """Without the elements of pixels. Elements are raw until they are asked for."""
    syntax_uid: str
    syntax: TransferSyntax | None
    """None for a syntax that is not in the table."""
    fault: Fault | None
    """What a strict parser stumbles over; None when the file is sound."""
    pixels: PixelElement | None

    @property
    def pixel_keyword(self) -> str | None:
        """Keyword of the element that holds pixels."""
        return self.pixels.keyword if self.pixels else None

    @property
    def pixel_bytes(self) -> FileRange:
        """The value of the element that holds pixels; empty when there is none."""
        return self.pixels.value if self.pixels else EMPTY


@contextmanager
def open_object(path: Path) -> Iterator[DicomObject]:
    """Read the object in ``path``; pixels and false lengths take no memory.

    Raises:
        ImagingError: what is in the file is no DICOM object.
        OSError: the file cannot be read.
    """
    with path.open("rb") as file, quiet_pydicom():
        if not path.stat().st_size:
            raise ImagingError(ErrorCode.UNREADABLE_OBJECT, "the file is empty")
        deflated = _deflated_meta(file)
        if deflated is None:
            yield _read(file)
            return
        with tempfile.TemporaryFile() as inflated:
            uid = str(deflated.TransferSyntaxUID)
            deflated.TransferSyntaxUID = UID(EXPLICIT_VR_LITTLE_ENDIAN)
            inflated.write(bytes(128) + b"DICM")
            write_file_meta_info(DicomIO(inflated), deflated, enforce_standard=False)
            _inflate(file, inflated)
            # A deflated data set is always rewritten: how sound its container is does not matter.
            yield _read(inflated)._replace(
                syntax_uid=uid, syntax=TRANSFER_SYNTAXES[uid], fault=None
            )


def _deflated_meta(file: BinaryIO) -> FileMetaDataset | None:
    """The File Meta Information of a deflated data set, before which the file is left."""
    # Nearly no object is deflated, and what is read here is read once more for the data set.
    if _DEFLATED not in file.read(_READ_AT_ONCE):
        return None
    file.seek(0)
    with suppress(Exception):  # whatever is wrong here is told when the data set is read
        read_preamble(file, force=True)
        meta = _read_file_meta_info(file)
        syntax = TRANSFER_SYNTAXES.get(str(meta.get("TransferSyntaxUID", "")).strip())
        if syntax is not None and syntax.family is Family.DEFLATED:
            return meta
    return None


def _inflate(file: BinaryIO, target: BinaryIO) -> None:
    """Inflate the rest of ``file`` (PS3.5 A.5), but not without end."""
    inflater = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
    size = 0
    try:
        while not inflater.eof and (block := inflater.unconsumed_tail or file.read(_BLOCK)):
            inflated = inflater.decompress(block, _BLOCK)
            size += target.write(inflated)
            if size > INFLATED_LIMIT:
                raise ImagingError(
                    ErrorCode.LIMIT_EXCEEDED,
                    f"the deflated data set inflates to more than {INFLATED_LIMIT} bytes",
                )
    except zlib.error as error:
        raise ImagingError(
            ErrorCode.UNREADABLE_OBJECT, "the deflated data set is damaged", "zlib"
        ) from error
    if not inflater.eof:
        raise ImagingError(ErrorCode.TRUNCATED, "the deflated data set ends early", "zlib")
    target.flush()


class _ClippedReader(io.BufferedReader):
    """Asks for no more than the file has: reading takes the memory that is asked for."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(io.FileIO(descriptor, closefd=False))
        self._size = os.fstat(descriptor).st_size

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _READ_AT_ONCE:
            size = max(0, min(size, self._size - self.tell()))
        return super().read(size)


def _read(file: BinaryIO) -> DicomObject:
    reader = _ClippedReader(file.fileno())
    reader.seek(0)
    whole = FileRange(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    try:
        dataset = dcmread(reader, force=True, defer_size=_READ_AT_ONCE)
        pixels = _take_pixels(dataset, whole)
        _read_deferred(dataset, whole, reader)
        known = pixels is not None or any(
            keyword in elements
            for keyword in _IDENTIFYING
            for elements in (dataset, dataset.file_meta)
        )
    except (MemoryError, ImagingError):
        raise
    except Exception as error:
        if _ends_early(file, whole):
            raise ImagingError(ErrorCode.TRUNCATED, str(Fault.ENDS_EARLY), "pydicom") from error
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
    implicit_vr, little_endian = dataset.original_encoding
    fault = find_fault(whole, implicit_vr=bool(implicit_vr), little_endian=bool(little_endian))
    return DicomObject(dataset, uid, TRANSFER_SYNTAXES.get(uid), fault, pixels)


def _ends_early(file: BinaryIO, whole: FileRange) -> bool:
    """Whether a file that pydicom cannot read ends inside an element."""
    with suppress(Exception):  # it is broken: nothing that is read of it can be relied on
        file.seek(0)
        read_preamble(file, force=True)
        uid = str(_read_file_meta_info(file).TransferSyntaxUID).strip()
        fault = find_fault(
            whole,
            implicit_vr=uid in _IMPLICIT_VR,
            little_endian=uid != EXPLICIT_VR_BIG_ENDIAN,
        )
        return fault is Fault.ENDS_EARLY
    return False


def _take_pixels(dataset: Dataset, whole: FileRange) -> PixelElement | None:
    """Take the elements of pixels out of the data set; the first of them is the object's."""
    # To ask the data set for an element would have pydicom read what was left out.
    elements = dict(dataset.items())
    found = None
    for keyword in reversed(PIXEL_KEYWORDS):
        raw = elements.get(Tag(keyword))
        if raw is not None:
            del dataset[keyword]
        if isinstance(raw, RawDataElement):
            found = PixelElement(keyword, raw.VR, _value_range(raw, whole))
    return found


def _value_range(raw: RawDataElement, whole: FileRange) -> FileRange:
    """Where the value lies in the file, whatever its length is said to be."""
    left = max(0, len(whole) - raw.value_tell)
    return whole.part(raw.value_tell, left if raw.length == _UNDEFINED else min(raw.length, left))


def _read_deferred(dataset: Dataset, whole: FileRange, reader: BinaryIO) -> None:
    """Give long elements their values, since the file may be closed when they are asked for."""
    for tag, raw in list(dataset.items()):
        if not isinstance(raw, RawDataElement) or raw.value is not None or not raw.length:
            continue
        if raw.length == _UNDEFINED:
            reader.seek(raw.value_tell)
            value = read_undefined_length_value(reader, raw.is_little_endian, SequenceDelimiterTag)
        else:
            value = _value_range(raw, whole)[:]
        dataset[tag] = raw._replace(value=value)


def _syntax_uid(dataset: FileDataset) -> str:
    """What the file says, or else what pydicom found the encoding of the data set to be."""
    named = str(dataset.file_meta.get("TransferSyntaxUID", "") or "").strip()
    if named:
        return named
    implicit_vr, little_endian = dataset.original_encoding
    if implicit_vr:
        return IMPLICIT_VR_LITTLE_ENDIAN
    return EXPLICIT_VR_LITTLE_ENDIAN if little_endian else EXPLICIT_VR_BIG_ENDIAN
