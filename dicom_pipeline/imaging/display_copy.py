"""The data set of a rendition: the original's elements, consistent with the new pixels."""

from typing import Final

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from dicom_pipeline.imaging.codestream import jpeg2000_header, jpeg_header
from dicom_pipeline.imaging.decoding import STORED_AS_CELLS
from dicom_pipeline.imaging.encoding import PixelForm
from dicom_pipeline.imaging.frames import encoded_frames
from dicom_pipeline.imaging.image import Image
from dicom_pipeline.imaging.legacy_elements import (
    move_embedded_overlays,
    promote_pixel_values,
    write_plain_palettes,
)
from dicom_pipeline.imaging.objects import DicomObject
from dicom_pipeline.imaging.rendering import Decision
from dicom_pipeline.imaging.rewriting import without_pixels
from dicom_pipeline.imaging.transfer_syntaxes import Family, TransferSyntax
from dicom_pipeline.imaging.viewer_text import leave_unknown_text

_BYTE: Final = 8
_LONGEST_ST: Final = 1024


def display_copy(decision: Decision, source: DicomObject, image: Image, form: PixelForm) -> Dataset:
    """The data set of the rendition without the pixels, but consistent with them."""
    copy, signed = without_pixels(source.dataset)
    syntax = source.syntax
    assert syntax is not None
    if syntax.family in STORED_AS_CELLS and not image.floating:
        move_embedded_overlays(source, image, copy)
    write_plain_palettes(copy)
    leave_unknown_text(copy)
    if image.signed and image.bits_allocated == _BYTE:
        promote_pixel_values(copy)
    _describe_pixels(copy, image, form)
    _declare_lossy(copy, source, image)
    _declare_derivation(copy, decision, signed=signed)
    return copy


def _describe_pixels(copy: Dataset, image: Image, form: PixelForm) -> None:
    copy.SamplesPerPixel = form.samples
    if form.samples > 1:
        copy.PhotometricInterpretation = "RGB"
        copy.PlanarConfiguration = 0
    elif "PlanarConfiguration" in copy:
        del copy.PlanarConfiguration
    if image.frames > 1:
        copy.NumberOfFrames = image.frames
    copy.BitsAllocated = form.dtype.itemsize * 8
    if form.dtype.kind == "f":
        # They say nothing of floats, and viewers would read integers.
        for keyword in ("BitsStored", "HighBit", "PixelRepresentation"):
            copy.pop(keyword, None)
        return
    copy.BitsStored = form.bits_stored
    copy.HighBit = form.bits_stored - 1
    copy.PixelRepresentation = 1 if form.dtype.kind == "i" else 0


def _declare_lossy(copy: Dataset, source: DicomObject, image: Image) -> None:
    """Once lossy, always lossy (PS3.3 C.7.6.1.1.5): the mark is set here and never taken away."""
    syntax = source.syntax
    if syntax is None or not syntax.encapsulated:
        return
    coded = (_lossy_method(frame, syntax) for frame in encoded_frames(source, image))
    method = next((found for found in coded if found), None)
    if method is None:
        return
    copy.LossyImageCompression = "01"
    before = copy.get("LossyImageCompressionMethod") or []
    methods = [before] if isinstance(before, str) else list(before)
    if method not in methods:
        copy.LossyImageCompressionMethod = [*methods, method]


def _lossy_method(frame: bytes, syntax: TransferSyntax) -> str | None:
    """The defined term of the codestream's coding if it lost information, else None."""
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


def _declare_derivation(copy: Dataset, decision: Decision, *, signed: bool) -> None:
    """Say in DerivationDescription that this is a display copy, after what stood there."""
    dropped = "; digital signatures left out" if signed else ""
    note = f"Display copy of the same SOP Instance ({decision.rule}){dropped}".encode()
    before = copy.get_item("DerivationDescription") if "DerivationDescription" in copy else None
    kept = (
        bytes(before.value or b"").rstrip(b" \0") if before is not None and before.is_raw else b""
    )
    value = kept + b"; " + note if kept and len(kept) + len(note) + 2 <= _LONGEST_ST else note
    value += b" " * (len(value) % 2)
    tag = Tag("DerivationDescription")
    copy[tag] = RawDataElement(tag, "ST", len(value), value, 0, False, True)
