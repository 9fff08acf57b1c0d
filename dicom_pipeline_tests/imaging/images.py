"""Small objects made for tests: any pixels, in any transfer syntax, with any attributes."""

import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import imagecodecs
import jpeg_ls
import numpy as np
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset, write_file_meta_info
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian
from rle.utils import encode_pixel_data

P = "1.2.840.10008.1.2"
EXPLICIT = f"{P}.1"
IMPLICIT = P
BIG_ENDIAN = f"{P}.2"
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"

ROWS, COLUMNS = 34, 46


def noise(dtype: str, low: int, high: int, *, colour: bool = False, seed: int = 7) -> np.ndarray:
    """Smooth pixels with noise, between ``low`` and ``high``: codecs cannot drop them unnoticed."""
    random = np.random.default_rng(seed)
    shape = (ROWS, COLUMNS, 3) if colour else (ROWS, COLUMNS)
    ramp = np.linspace(low, high, ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    ramp = ramp[..., None] if colour else ramp
    spread = max(1, (high - low) // 16)
    pixels = ramp + random.integers(-spread, spread + 1, shape)
    return np.clip(pixels, low, high).round().astype(dtype)


def header(pixels: np.ndarray, **attributes: Any) -> Dataset:
    """A data set for frames like ``pixels``, without pixel data; attributes override."""
    ds = Dataset()
    ds.SOPClassUID = SECONDARY_CAPTURE
    ds.SOPInstanceUID = "1.2.3.4.5"
    ds.StudyInstanceUID = "1.2.3"
    ds.SeriesInstanceUID = "1.2.3.4"
    ds.PatientName = "Nobody^Knows"
    ds.PatientID = "P1"
    ds.Rows, ds.Columns = pixels.shape[:2]
    ds.SamplesPerPixel = 3 if pixels.ndim == 3 else 1
    ds.PhotometricInterpretation = "RGB" if pixels.ndim == 3 else "MONOCHROME2"
    if pixels.ndim == 3:
        ds.PlanarConfiguration = 0
    ds.BitsAllocated = pixels.dtype.itemsize * 8
    ds.BitsStored = ds.BitsAllocated
    ds.PixelRepresentation = 1 if pixels.dtype.kind == "i" else 0
    for keyword, value in attributes.items():
        if value is None:
            delattr(ds, keyword)
        else:
            setattr(ds, keyword, value)
    if "BitsStored" in ds and "HighBit" not in ds:
        ds.HighBit = ds.BitsStored - 1
    return ds


def palettes(ds: Dataset, *, segmented: bool = False) -> Dataset:
    """Add lookup tables of 256 entries that go in a line to another last value for each colour."""
    for colour, last in (("Red", 0xFF00), ("Green", 0x8000), ("Blue", 0x0100)):
        # One discrete entry, then a line of 255 entries to the last value (PS3.3 C.7.9.2).
        line = np.array([0, 1, 0, 1, 255, last]) if segmented else np.linspace(0, last, 256)
        ds.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", [256, 0, 16])
        ds.add_new(
            f"{'Segmented' if segmented else ''}{colour}PaletteColorLookupTableData",
            "OW",
            line.astype("<u2").tobytes(),
        )
    return ds


def save(path: Path, ds: Dataset, syntax: str) -> Path:
    """Write a data set in a syntax that pydicom may not know."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = UID(syntax)
    ds.file_meta.MediaStorageSOPClassUID = ds.get("SOPClassUID", SECONDARY_CAPTURE)
    ds.file_meta.MediaStorageSOPInstanceUID = ds.get("SOPInstanceUID", "1.2.3.4.5")
    ds.file_meta.ImplementationClassUID = UID("1.2.3.9")
    ds.file_meta.FileMetaInformationVersion = b"\0\1"
    ds.file_meta.FileMetaInformationGroupLength = 0
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = syntax in {IMPLICIT, "1.2.840.113619.5.2", "1.2.840.10008.1.20"}
    buffer.is_little_endian = syntax != BIG_ENDIAN
    meta = DicomBytesIO()
    write_file_meta_info(meta, ds.file_meta, enforce_standard=False)
    write_dataset(buffer, ds)
    path.write_bytes(b"\0" * 128 + b"DICM" + meta.getvalue() + buffer.getvalue())
    return path


def native(path: Path, pixels: np.ndarray, syntax: str = EXPLICIT, **attributes: Any) -> Path:
    """An object with native pixel data; with NumberOfFrames, the first axis counts frames."""
    one = pixels[0] if "NumberOfFrames" in attributes else pixels
    ds = header(one, **attributes)
    order = ">" if syntax in {BIG_ENDIAN, "1.2.840.113619.5.2"} else "<"
    value = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    ds.add_new("PixelData", "OW", value + b"\0" * (len(value) % 2))
    return save(path, ds, syntax)


def encapsulated(
    path: Path,
    pixels: np.ndarray,
    syntax: str,
    frames: Iterable[bytes],
    *,
    offsets: bool = True,
    fragments: int = 1,
    **attributes: Any,
) -> Path:
    """An object whose frames are codestreams; ``pixels`` is what one frame looks like."""
    ds = header(pixels, **attributes)
    value = encapsulate(list(frames), fragments_per_frame=fragments, has_bot=offsets)
    element = DataElement("PixelData", "OB", value)
    element.is_undefined_length = True
    ds[element.tag] = element
    return save(path, ds, syntax)


def jls(
    pixels: np.ndarray, bits: int | None = None, near: int = 0, *, planar: bool = False
) -> bytes:
    options = {"planar_configuration": int(planar)} if pixels.ndim == 3 else {}
    source = pixels.transpose(2, 0, 1) if planar else pixels
    return bytes(
        jpeg_ls.encode_pixel_data(
            np.ascontiguousarray(source).tobytes(),
            lossy_error=near,
            rows=pixels.shape[0],
            columns=pixels.shape[1],
            samples_per_pixel=3 if pixels.ndim == 3 else 1,
            bits_stored=bits or pixels.dtype.itemsize * 8,
            **options,
        )
    )


def jpeg(pixels: np.ndarray, **options: Any) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(pixels, **options))


def jpeg_without_app_segments(frame: bytes) -> bytes:
    """A JPEG without its JFIF and Adobe segments."""
    out, position = bytearray(frame[:2]), 2
    while frame[position + 1] != 0xDA:
        size = 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
        if not 0xE0 <= frame[position + 1] <= 0xEF:
            out += frame[position : position + size]
        position += size
    return bytes(out + frame[position:])


def j2k(pixels: np.ndarray, *, mct: bool = False, bits: int | None = None) -> bytes:
    return bytes(
        imagecodecs.jpeg2k_encode(
            pixels, level=0, reversible=True, codecformat="J2K", mct=mct, bitspersample=bits
        )
    )


def htj2k(pixels: np.ndarray, *, mct: bool = True) -> bytes:
    return bytes(imagecodecs.htj2k_encode(pixels, rgb=mct and pixels.ndim == 3))


def jxl(pixels: np.ndarray) -> bytes:
    return bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=1))


def deflated(pixels: np.ndarray) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(pixels.tobytes()) + compressor.flush()


def deflated_object(path: Path, pixels: np.ndarray, **attributes: Any) -> Path:
    """An object whose data set is deflated as a whole (PS3.5 A.5)."""
    one = pixels[0] if "NumberOfFrames" in attributes else pixels
    ds = header(one, **attributes)
    ds.add_new("PixelData", "OW", pixels.tobytes() + b"\0" * (pixels.nbytes % 2))
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    ds.save_as(path, enforce_file_format=True)
    return path


def rle(pixels: np.ndarray) -> bytes:
    return bytes(
        encode_pixel_data(
            pixels.tobytes(),
            byteorder="<",
            rows=pixels.shape[0],
            columns=pixels.shape[1],
            samples_per_pixel=3 if pixels.ndim == 3 else 1,
            bits_allocated=pixels.dtype.itemsize * 8,
        )
    )


ALL_BITS: dict[str, Callable[[np.ndarray], bytes]] = {
    f"{P}.5": rle,
    f"{P}.8.1": deflated,
    f"{P}.1.98": lambda cells: cells.tobytes(),
}
"""How a frame is coded in the compressed syntaxes that keep the bits around the pixel's value."""


def raw_pixel_data(
    path: Path, pixels: np.ndarray, value: bytes, declared: int, **attributes: Any
) -> Path:
    """An object whose pixel data declares another length than it has."""
    save(path, header(pixels, **attributes), EXPLICIT)
    element = b"\xe0\x7f\x10\x00OW\0\0" + declared.to_bytes(4, "little") + value
    path.write_bytes(path.read_bytes() + element)
    return path
