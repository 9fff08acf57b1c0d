"""The whole job for one object: decide, decode each frame, write a display copy, prove it right.

To be called in a worker process with limits (`dicom_pipeline.workers`): a codec may hang or crash.
"""

import hashlib
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple

import jpeg_ls
import numpy as np
import pydicom
from pydicom import dcmwrite
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended
from pydicom.tag import Tag
from pydicom.uid import UID

from dicom_pipeline.imaging.codestream import jpeg2000_header, jpeg_header
from dicom_pipeline.imaging.decoding import decode_frames, library_version
from dicom_pipeline.imaging.frames import encoded_frames
from dicom_pipeline.imaging.image import Image, describe_image
from dicom_pipeline.imaging.legacy_elements import (
    expand_segmented_palettes,
    move_embedded_overlays,
    promote_pixel_values,
)
from dicom_pipeline.imaging.objects import DicomObject, open_object
from dicom_pipeline.imaging.outcomes import (
    RETRYABLE,
    Action,
    ConversionError,
    ErrorCode,
    ImagingError,
    Outcome,
)
from dicom_pipeline.imaging.rendering import LEFT_TO_THEIR_LOADERS, Decision, decide
from dicom_pipeline.imaging.rewriting import without_pixels
from dicom_pipeline.imaging.samples import Pixels
from dicom_pipeline.imaging.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    GE_PRIVATE,
    JPEG_LS_LOSSLESS,
    Family,
    Remedy,
)
from dicom_pipeline.storage import atomic_file
from dicom_pipeline.workers import TaskFailure, describe

IMPLEMENTATION_CLASS_UID: Final = "2.25.230716094438297358402927473106284910722"
IMPLEMENTATION_VERSION_NAME: Final = "DICOM_PIPELINE"

_PYJPEGLS: Final = "pyjpegls"
_BYTE: Final = 8
_WORD: Final = 16
_LARGEST_BASIC_OFFSET: Final = (1 << 32) - 1
_LONGEST_ST: Final = 1024
_LOSSY_METHODS: Final = {
    Family.JPEG: "ISO_10918_1",
    Family.JPEG_LS: "ISO_14495_1",
    Family.JPEG_2000: "ISO_15444_1",
    Family.HTJ2K: "ISO_15444_15",
    Family.JPEG_XL: "ISO_18181_1",
}
"""Defined terms of LossyImageCompressionMethod (PS3.3 C.7.6.1.1.5.1)."""

_NOT_DECIDED: Final = Decision(Action.FAIL, "not-decided", "the object could not be examined")
_NOT_DECODABLE: Final = Decision(
    Action.FAIL, "not-decodable", "the headers are right, but the pixels cannot be decoded in full"
)
_FAILURE_CODES: Final = {
    "timeout": ErrorCode.TIMEOUT,
    "crashed": ErrorCode.CRASHED,
    "memory": ErrorCode.LIMIT_EXCEEDED,
    "exception": ErrorCode.INTERNAL,
}


__all__ = ["Outcome", "failed_outcome", "render"]


def render(source: Path, target: Path) -> Outcome:
    """Decide about the object in ``source``; write its rendition to ``target`` if it needs one.

    A compressed image that is kept was decoded in full. A rendition appears under its name only
    after it was read back, decoded and found equal to the original, pixel by pixel. Whatever is
    wrong with an object is told in the outcome; nothing is raised for it.
    """
    decision = _NOT_DECIDED
    try:
        with open_object(source) as opened:
            decision = decide(opened)
            return _carry_out(decision, opened, target)
    except ImagingError as error:
        return _failure(decision, error.code, error.reason, error.library)
    except MemoryError:
        return _failure(
            decision, ErrorCode.LIMIT_EXCEEDED, "needs more memory than a worker may use"
        )
    except RecursionError:
        return _failure(decision, ErrorCode.UNREADABLE_OBJECT, "sequences nested too deep")
    except OSError as error:
        return _failure(decision, ErrorCode.IO_ERROR, f"{type(error).__name__} {error.errno}")
    except Exception as error:  # noqa: BLE001  a defect here costs one object, not the run
        return _failure(decision, _blame(error), describe(error))


def _blame(error: Exception) -> ErrorCode:
    """An unforeseen exception from inside pydicom means a data set that it cannot read."""
    frames = traceback.extract_tb(error.__traceback__)
    in_pydicom = f"{Path(pydicom.__file__).parent}/"
    read = any(frame.filename.startswith(in_pydicom) for frame in frames)
    return ErrorCode.UNREADABLE_OBJECT if read else ErrorCode.INTERNAL


def failed_outcome(failure: TaskFailure) -> Outcome:
    """The outcome of an object that its worker did not survive, or that took too long."""
    return _failure(_NOT_DECIDED, _FAILURE_CODES[failure.code], failure.message)


def _failure(
    decision: Decision, code: ErrorCode, reason: str, library: str | None = None
) -> Outcome:
    if decision.action is Action.KEEP:
        decision = _NOT_DECODABLE
    return Outcome(
        action=Action.FAIL,
        rule=decision.rule,
        reason=decision.reason,
        error=ConversionError(
            code=code,
            reason=reason,
            library=library,
            library_version=library_version(library) if library else None,
            retryable=code in RETRYABLE,
        ),
    )


def _carry_out(decision: Decision, source: DicomObject, target: Path) -> Outcome:
    match decision.action:
        case Action.KEEP:
            return _outcome(decision, frames=_decode_once(decision, source))
        case Action.TRANSCODE:
            return _transcode(decision, source, target)
        case Action.EXTRACT_VIDEO:
            error = ConversionError(
                code=ErrorCode.MISSING_EXTRA,
                reason="video extraction is not part of this version",
            )
            return _outcome(decision, error=error)
        case Action.NO_PIXELS:
            return _outcome(decision)
        case Action.FAIL:
            assert decision.error_code is not None
            return _failure(decision, decision.error_code, decision.reason)


def _outcome(
    decision: Decision, *, frames: int | None = None, error: ConversionError | None = None
) -> Outcome:
    return Outcome(
        action=decision.action,
        rule=decision.rule,
        reason=decision.reason,
        frames=frames,
        error=error,
    )


def _decode_once(decision: Decision, source: DicomObject) -> int | None:
    """Decode a compressed image in full, since a viewer may show a damaged one without a word."""
    syntax = source.syntax
    own_loader = decision.rule in LEFT_TO_THEIR_LOADERS.values()
    if syntax is None or not syntax.encapsulated or (own_loader and decision.rule != "whole-slide"):
        return None
    return sum(1 for _ in decode_frames(source, describe_image(source)))


class _Encoded(NamedTuple):
    """The frames of a rendition, and what their pixels are."""

    syntax_uid: str
    frames: list[bytes]
    digests: list[bytes]
    dtype: np.dtype[np.generic]
    samples: int
    bits_stored: int


def _transcode(decision: Decision, source: DicomObject, target: Path) -> Outcome:
    image = describe_image(source)
    encoded = _encode(_displayable(source, image), _target_syntax(decision, source, image), image)
    copy = _display_copy(decision, source, image, encoded)
    with atomic_file(target) as file:
        _write(file, copy, encoded.syntax_uid)
        file.flush()
        size = file.tell()
        _verify(Path(file.name), encoded.digests)
    return Outcome(
        action=decision.action,
        rule=decision.rule,
        reason=decision.reason,
        target_ts=encoded.syntax_uid,
        file_size=size,
        frames=len(encoded.frames),
    )


def _target_syntax(decision: Decision, source: DicomObject, image: Image) -> str:
    """JPEG-LS lossless, except where it cannot carry the pixels or nothing was compressed."""
    syntax = source.syntax
    assert syntax is not None
    explicit = (
        image.floating
        or image.bits_allocated > _WORD
        or image.photometric == "PALETTE COLOR"
        or syntax.remedy is Remedy.EXPLICIT
        or (decision.rule == "container" and not syntax.encapsulated)
    )
    return EXPLICIT_VR_LITTLE_ENDIAN if explicit else JPEG_LS_LOSSLESS


def _displayable(source: DicomObject, image: Image) -> Iterator[Pixels]:
    """The decoded frames in a form that a viewer takes: floats of 64 bits become floats of 32."""
    for index, frame in enumerate(decode_frames(source, image)):
        if frame.dtype != np.float64:
            yield frame
            continue
        with np.errstate(over="ignore"):
            narrow = frame.astype(np.float32)
        if not np.array_equal(np.isfinite(frame), np.isfinite(narrow)):
            raise ImagingError(
                ErrorCode.DECODER_ERROR, f"frame {index}: values too large for 32-bit floats"
            )
        yield narrow


def _encode(frames: Iterable[Pixels], syntax_uid: str, image: Image) -> _Encoded:
    """Encode frame after frame, so that only one is in memory uncompressed."""
    encoded: list[bytes] = []
    digests: list[bytes] = []
    bits_stored = 0
    first: Pixels | None = None
    for pixels in frames:
        first = pixels if first is None else first
        if pixels.dtype != first.dtype:
            raise ImagingError(ErrorCode.DECODER_ERROR, "frames of different types of pixels")
        bits = _bits_stored(pixels, image)
        bits_stored = max(bits_stored, bits)
        if pixels.dtype.itemsize > _WORD // 8:
            syntax_uid = EXPLICIT_VR_LITTLE_ENDIAN
        encode = _jpeg_ls if syntax_uid == JPEG_LS_LOSSLESS else _explicit
        encoded.append(encode(pixels, bits))
        digests.append(_digest(pixels))
    assert first is not None
    samples = first.shape[2] if first.ndim > 2 else 1  # noqa: PLR2004  (rows, columns, samples)
    return _Encoded(syntax_uid, encoded, digests, first.dtype, samples, bits_stored)


def _bits_stored(pixels: Pixels, image: Image) -> int:
    """BitsStored of the rendition: the original's, if the pixels keep to it.

    Signed pixels take the whole cell, so that decoders without sign extension are right too, and
    no codec need know samples of less than 8 bits.
    """
    width = pixels.dtype.itemsize * 8
    if pixels.dtype.kind != "u":
        return width
    needed = int(pixels.max()).bit_length()
    return min(width, max(_BYTE, image.bits_stored, needed))


def _jpeg_ls(pixels: Pixels, bits: int) -> bytes:
    options = {} if pixels.ndim == 2 else {"planar_configuration": 0}  # noqa: PLR2004
    try:
        return bytes(
            jpeg_ls.encode_pixel_data(
                np.ascontiguousarray(pixels).tobytes(),
                rows=pixels.shape[0],
                columns=pixels.shape[1],
                samples_per_pixel=1 if pixels.ndim == 2 else pixels.shape[2],  # noqa: PLR2004
                bits_stored=bits,
                **options,
            )
        )
    except (RuntimeError, ValueError) as error:
        raise ImagingError(
            ErrorCode.DECODER_ERROR, f"JPEG-LS cannot encode {pixels.shape} pixels", _PYJPEGLS
        ) from error


def _explicit(pixels: Pixels, _bits: int) -> bytes:
    return pixels.astype(pixels.dtype.newbyteorder("<"), copy=False).tobytes()


def _digest(pixels: Pixels) -> bytes:
    """Equal for equal pixels of the same type and shape."""
    hashed = hashlib.blake2b(f"{pixels.dtype.str}{pixels.shape}".encode())
    hashed.update(np.ascontiguousarray(pixels).data)
    return hashed.digest()


def _display_copy(
    decision: Decision, source: DicomObject, image: Image, encoded: _Encoded
) -> Dataset:
    """The data set of the rendition, consistent with its pixels."""
    copy = without_pixels(source.dataset)
    syntax = source.syntax
    assert syntax is not None
    if syntax.family in {Family.NATIVE, Family.DEFLATED} and not image.floating:
        big_endian = source.syntax_uid in {EXPLICIT_VR_BIG_ENDIAN, GE_PRIVATE}
        move_embedded_overlays(source, image, copy, big_endian=big_endian)
    expand_segmented_palettes(source, copy)
    if image.signed and image.bits_allocated == _BYTE:
        promote_pixel_values(copy)
    _describe_pixels(copy, image, encoded)
    _declare_lossy(copy, source, image)
    _declare_derivation(copy, decision)
    _put_pixels(copy, encoded)
    return copy


def _describe_pixels(copy: Dataset, image: Image, encoded: _Encoded) -> None:
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
    syntax = source.syntax
    if syntax is None or not _is_lossy(source, image):
        return
    copy.LossyImageCompression = "01"
    if "LossyImageCompressionMethod" not in copy:
        copy.LossyImageCompressionMethod = _LOSSY_METHODS[syntax.family]


def _is_lossy(source: DicomObject, image: Image) -> bool:
    """Whether the source's codestream lost information, by syntax or by its own header."""
    syntax = source.syntax
    if syntax is None or not syntax.encapsulated:
        return False
    frame = next(encoded_frames(source, image))
    if syntax.family in {Family.JPEG, Family.JPEG_LOSSLESS, Family.JPEG_LS}:
        jpeg = jpeg_header(frame)
        if jpeg is None or jpeg.lossless:
            return False
        return jpeg.selection > 0 if jpeg.jpeg_ls else True
    if syntax.family in {Family.JPEG_2000, Family.HTJ2K}:
        j2k = jpeg2000_header(frame)
        return j2k is not None and not j2k.reversible
    return syntax.lossy is True


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


def _put_pixels(copy: Dataset, encoded: _Encoded) -> None:
    if encoded.syntax_uid == EXPLICIT_VR_LITTLE_ENDIAN:
        value = b"".join(encoded.frames)
        value += b"\0" * (len(value) % 2)
        if encoded.dtype.kind == "f":
            copy.add_new("FloatPixelData", "OF", value)
        else:
            copy.add_new("PixelData", "OB" if encoded.dtype.itemsize == 1 else "OW", value)
        return
    if sum(len(frame) + 9 for frame in encoded.frames) > _LARGEST_BASIC_OFFSET:
        value, offsets, lengths = encapsulate_extended(encoded.frames)
        copy.ExtendedOffsetTable = offsets
        copy.ExtendedOffsetTableLengths = lengths
    else:
        value = encapsulate(encoded.frames, has_bot=True)
    element = DataElement("PixelData", "OB", value)
    element.is_undefined_length = True
    copy[element.tag] = element


def _write(file: BinaryIO, copy: Dataset, syntax_uid: str) -> None:
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


def _verify(path: Path, digests: list[bytes]) -> None:
    """Read a rendition back: it must be shown right, and hold the very pixels that were decoded."""
    with open_object(path) as written:
        decision = decide(written)
        if decision.action is not Action.KEEP:
            raise ImagingError(
                ErrorCode.MISMATCH, f"the rendition itself is not shown right: {decision.rule}"
            )
        count = 0
        for count, pixels in enumerate(decode_frames(written, describe_image(written)), start=1):
            if count > len(digests) or _digest(pixels) != digests[count - 1]:
                raise ImagingError(
                    ErrorCode.MISMATCH, f"frame {count - 1} of the rendition has other pixels"
                )
    if count != len(digests):
        raise ImagingError(ErrorCode.MISMATCH, "the rendition has another number of frames")
