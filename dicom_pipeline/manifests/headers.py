"""What a file's own header tells of its pixels, where the catalog does not know it."""

from base64 import b64encode
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_pipeline.errors import TransientError
from dicom_pipeline.imaging.quiet import quiet_pydicom
from dicom_pipeline.manifests.attributes import OF_PIXELS, Attributes, Value
from dicom_pipeline.storage import locate

PALETTE: Final = "PALETTE COLOR"

_REAL: Final = frozenset({"RescaleIntercept", "RescaleSlope"})
_TEXT: Final = frozenset({"PhotometricInterpretation"})
_OF_THE_FILE: Final = "TransferSyntaxUID"
_KEYWORDS: Final = tuple(keyword for keyword in OF_PIXELS if keyword != _OF_THE_FILE)
_TABLES: Final = tuple(f"{colour}PaletteColorLookupTable" for colour in ("Red", "Green", "Blue"))
_PALETTE_KEYWORDS: Final = tuple(
    f"{table}{part}" for table in _TABLES for part in ("Descriptor", "Data")
)
_TABLE_BYTES: Final = 1 << 14
"""A longer lookup table is left to the file."""


class Headers:
    """Reads headers below the roots that a manifest names files of."""

    def __init__(self, roots: Mapping[str, Path]) -> None:
        self._roots = roots

    def described(self, root: str, path: str) -> Attributes:
        """The pixels of the file at ``path`` below a root; nothing of one that is gone or broken.

        Raises:
            TransientError: it cannot be read, or the root is away.
        """
        folder = self._roots[root]
        keywords = [*_KEYWORDS, *_PALETTE_KEYWORDS]
        try:
            with quiet_pydicom():
                file = locate(folder, path)
                header = dcmread(file, stop_before_pixels=True, specific_tags=keywords)
                return dict(_attributes(header))
        except (InvalidDicomError, ValueError, TypeError):
            return {}
        except OSError as error:
            if isinstance(error, FileNotFoundError) and folder.is_dir():
                return {}
            raise TransientError(
                f"{path}: its header cannot be read ({type(error).__name__}): check the mount and "
                f"the permissions of {folder}"
            ) from None


def _attributes(header: Dataset) -> Iterator[tuple[str, Value]]:
    yield _OF_THE_FILE, str(header.file_meta.TransferSyntaxUID)
    for keyword in _KEYWORDS:
        value = header.get(keyword)
        if value is None or value == "":
            continue
        if keyword in _TEXT:
            yield keyword, str(value)
        else:
            yield keyword, float(value) if keyword in _REAL else int(value)
    if header.get("PhotometricInterpretation") == PALETTE:
        yield from _palette(header)


def _palette(header: Dataset) -> Iterator[tuple[str, Value]]:
    """Lookup tables as OHIF takes them, all three or none."""
    tables = [(header.get(f"{table}Descriptor"), header.get(f"{table}Data")) for table in _TABLES]
    if not all(descriptor and data and len(data) <= _TABLE_BYTES for descriptor, data in tables):
        return
    for table, (descriptor, data) in zip(_TABLES, tables, strict=True):
        yield f"{table}Descriptor", [int(part) for part in descriptor]
        yield f"{table}Data", {"InlineBinary": b64encode(data).decode()}
