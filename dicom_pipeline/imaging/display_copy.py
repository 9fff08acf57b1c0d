"""The data set of a rendition: the original's elements, consistent with the new pixels."""

from io import BufferedIOBase, BytesIO
from typing import BinaryIO, Final

from pydicom import dcmwrite
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate_buffer, encapsulate_extended_buffer
from pydicom.tag import Tag
from pydicom.uid import UID

from dicom_pipeline.imaging.codestream import jpeg2000_header, jpeg_header
from dicom_pipeline.imaging.decoding import STORED_AS_CELLS
from dicom_pipeline.imaging.encoding import EncodedFrames
from dicom_pipeline.imaging.frames import encoded_frames
from dicom_pipeline.imaging.image import Image
from dicom_pipeline.imaging.legacy_elements import (
    expand_segmented_palettes,
    move_embedded_overlays,
    promote_pixel_values,
)
from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.outcomes import ErrorCode, ImagingError
from dicom_pipeline.imaging.rendering import Decision
from dicom_pipeline.imaging.rewriting import without_pixels
from dicom_pipeline.imaging.transfer_syntaxes import EXPLICIT_VR_LITTLE_ENDIAN, Family

IMPLEMENTATION_CLASS_UID: Final = "2.25.230716094438297358402927473106284910722"
IMPLEMENTATION_VERSION_NAME: Final = "DICOM_PIPELINE"

_BYTE: Final = 8
_LARGEST_BASIC_OFFSET: Final = (1 << 32) - 1
_LONGEST_ST: Final = 1024


def display_copy(
    decision: Decision, source: DicomObject, image: Image, encoded: EncodedFrames
) -> Dataset:
    """The data set of the rendition, consistent with its pixels."""
    copy = without_pixels(source.dataset)
    syntax = source.syntax
    assert syntax is not None
    if syntax.family in STORED_AS_CELLS and not image.floating:
        move_embedded_overlays(source, image, copy)
    expand_segmented_palettes(source, copy)
    if image.signed and image.bits_allocated == _BYTE:
        promote_pixel_values(copy)
    _describe_pixels(copy, image, encoded)
    _declare_lossy(copy, source, image)
    _declare_derivation(copy, decision)
    _put_pixels(copy, encoded)
    return copy


def _describe_pixels(copy: Dataset, image: Image, encoded: EncodedFrames) -> None:
    copy.SamplesPerPixel = encoded.samples
    if encoded.samples > 1:
        copy.PhotometricInterpretation = "RGB"
        copy.PlanarConfiguration = 0
    elif "PlanarConfiguration" in copy:
        del copy.PlanarConfiguration
    if image.frames > 1:
        copy.NumberOfFrames = image.frames
    copy.BitsAllocated = encoded.dtype.itemsize * 8
    if encoded.dtype.kind == "f":
        return
    copy.BitsStored = encoded.bits_stored
    copy.HighBit = encoded.bits_stored - 1
    copy.PixelRepresentation = 1 if encoded.dtype.kind == "i" else 0


def _declare_lossy(copy: Dataset, source: DicomObject, image: Image) -> None:
    """Once lossy, always lossy (PS3.3 C.7.6.1.1.5): the mark is set here and never taken away."""
    method = _lossy_method(source, image)
    if method is None:
        return
    copy.LossyImageCompression = "01"
    if "LossyImageCompressionMethod" not in copy:
        copy.LossyImageCompressionMethod = method


def _lossy_method(source: DicomObject, image: Image) -> str | None:
    """The defined term of the codestream's coding if it lost information, else None."""
    syntax = source.syntax
    if syntax is None or not syntax.encapsulated:
        return None
    frame = next(encoded_frames(source, image))
    if syntax.family in {Family.JPEG, Family.JPEG_LOSSLESS, Family.JPEG_LS}:
        jpeg = jpeg_header(frame)
        if jpeg is None or jpeg.lossless:
            return None
        if jpeg.jpeg_ls:
            return "ISO_14495_1" if jpeg.selection else None
        return "ISO_10918_1"
    if syntax.family in {Family.JPEG_2000, Family.HTJ2K}:
        j2k = jpeg2000_header(frame)
        if j2k is None or j2k.reversible:
            return None
        return "ISO_15444_1" if syntax.family is Family.JPEG_2000 else "ISO_15444_15"
    return "ISO_18181_1" if syntax.lossy else None


def _declare_derivation(copy: Dataset, decision: Decision) -> None:
    """Say in DerivationDescription that this is a display copy, after what stood there."""
    note = f"Display copy of the same SOP Instance ({decision.rule})".encode()
    before = copy.get_item("DerivationDescription") if "DerivationDescription" in copy else None
    kept = (
        bytes(before.value or b"").rstrip(b" \0") if before is not None and before.is_raw else b""
    )
    value = kept + b"; " + note if kept and len(kept) + len(note) + 2 <= _LONGEST_ST else note
    value += b" " * (len(value) % 2)
    tag = Tag("DerivationDescription")
    copy[tag] = RawDataElement(tag, "ST", len(value), value, 0, False, True)


def _put_pixels(copy: Dataset, encoded: EncodedFrames) -> None:
    if encoded.syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN:
        value = b"".join(encoded.frames)
        value += b"\0" * (len(value) % 2)
        if encoded.dtype.kind == "f":
            copy.add_new("FloatPixelData", "OF", value)
        else:
            copy.add_new("PixelData", "OB" if encoded.dtype.itemsize == 1 else "OW", value)
        return
    # Buffers are written one by one: joining the frames would take their size twice over.
    buffers: list[BufferedIOBase] = [BytesIO(frame) for frame in encoded.frames]
    if sum(len(frame) + 9 for frame in encoded.frames) > _LARGEST_BASIC_OFFSET:
        fragments, offsets, lengths = encapsulate_extended_buffer(buffers)
        copy.ExtendedOffsetTable = offsets
        copy.ExtendedOffsetTableLengths = lengths
    else:
        fragments = encapsulate_buffer(buffers, has_bot=True)
    element = DataElement("PixelData", "OB", fragments)
    element.is_undefined_length = True
    copy[element.tag] = element


def write_object(file: BinaryIO, copy: Dataset, syntax_uid: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = copy.get("SOPClassUID")
    meta.MediaStorageSOPInstanceUID = copy.get("SOPInstanceUID")
    if not (meta.MediaStorageSOPClassUID and meta.MediaStorageSOPInstanceUID):
        raise ImagingError(ErrorCode.UNREADABLE_OBJECT, "SOPClassUID or SOPInstanceUID is missing")
    meta.TransferSyntaxUID = UID(syntax_uid)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    copy.file_meta = meta
    dcmwrite(file, copy, enforce_file_format=True)
