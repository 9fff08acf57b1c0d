"""Finding the files that events speak of."""

from pathlib import Path
from typing import Final

from dicom_pipeline.messages import Event
from dicom_pipeline.storage import OutsideRootError, locate

FILE_MISSING: Final = "file_missing"
"""Dead-letter code: the event's file is not in the storage root."""


def file_is_missing(storage_root: Path, event: Event) -> bool:
    """Whether the event's file cannot be opened where it should lie."""
    try:
        return not locate(storage_root, event.file_path).is_file()
    except OutsideRootError:
        return True
