"""What the pixels of a display copy are: its own header tells it, not the original's."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from dicom_pipeline.errors import TransientError
from dicom_pipeline.imaging.quiet import quiet_pydicom
from dicom_pipeline.manifests.attributes import OF_PIXELS, Attributes
from dicom_pipeline.storage import locate

_REAL: Final = frozenset({"RescaleIntercept", "RescaleSlope"})
_TEXT: Final = frozenset({"PhotometricInterpretation"})
_OF_THE_FILE: Final = "TransferSyntaxUID"


def described(root: Path, path: str) -> Attributes:
    """The pixels of the display copy at ``path`` below ``root``; nothing of one that is gone.

    Raises:
        TransientError: it cannot be read, or the root is away.
    """
    keywords = [keyword for keyword in OF_PIXELS if keyword != _OF_THE_FILE]
    try:
        with quiet_pydicom():
            header = dcmread(locate(root, path), stop_before_pixels=True, specific_tags=keywords)
            return dict(_attributes(header, keywords))
    except (InvalidDicomError, ValueError, TypeError):
        return {}
    except OSError as error:
        if isinstance(error, FileNotFoundError) and root.is_dir():
            return {}
        raise TransientError(
            f"{path}: the header of this display copy cannot be read ({type(error).__name__}): "
            "check the mount and the permissions of the rendition root"
        ) from None


def _attributes(header: Dataset, keywords: list[str]) -> Iterator[tuple[str, str | int | float]]:
    yield _OF_THE_FILE, str(header.file_meta.TransferSyntaxUID)
    for keyword in keywords:
        value = header.get(keyword)
        if value is None or value == "":
            continue
        if keyword in _TEXT:
            yield keyword, str(value)
        else:
            yield keyword, float(value) if keyword in _REAL else int(value)
