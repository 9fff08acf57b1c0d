"""Finding the files that events speak of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.errors import TransientError
from dicom_pipeline.messages import Event
from dicom_pipeline.ranges import Received
from dicom_pipeline.storage import INCOMING, OutsideRootError, locate

FILE_MISSING: Final = "file_missing"
"""Dead-letter code: the event's file is not in the storage root."""

Dead = tuple[Received, str, str]
"""A dead letter of `ranges.StageResult`."""


class Files(NamedTuple):
    """A batch, by whether the file is there."""

    present: list[Received]
    dead: list[Dead]


def find_files(storage_root: Path, received: Sequence[Received]) -> Files:
    """Part a batch into what can be worked on and what has no file.

    Raises:
        TransientError: the storage root is not there, or does not answer.
    """
    require_storage_root(storage_root)
    files = Files([], [])
    for one in received:
        if _is_missing(storage_root, one.event):
            files.dead.append(_dead(one))
        else:
            files.present.append(one)
    if files.dead:  # the root may have gone in between
        require_storage_root(storage_root)
    return files


def gone(storage_root: Path, one: Received, reason: str) -> Dead:
    """The dead letter of an object whose file was there, but not when it was to be read.

    Raises:
        TransientError: the file is there; reading it or writing its rendition failed.
    """
    if find_files(storage_root, [one]).dead:
        return _dead(one)
    raise TransientError(
        f"{one.event.file_path}: reading it or writing what is made of it failed ({reason}): check "
        "the disks, mounts and permissions of the storage root and the rendition root"
    )


def require_storage_root(storage_root: Path) -> None:
    """Tell a storage root that is away from one whose files are gone.

    Raises:
        TransientError: the folder that every receiver makes at its start is not there.
    """
    incoming = storage_root / INCOMING
    try:
        answers = incoming.is_dir()
    except OSError as error:
        raise _unreachable(incoming, error) from error
    if not answers:
        raise TransientError(
            f"storage root {storage_root}: it has no folder {INCOMING!r}, which every receiver "
            "makes: mount it, or set STORAGE_ROOT to the receivers' storage root"
        )


def _is_missing(storage_root: Path, event: Event) -> bool:
    try:
        path = locate(storage_root, event.file_path)
    except OutsideRootError:
        return True
    try:
        return not path.is_file()
    except OSError as error:
        raise _unreachable(path, error) from error


def _unreachable(path: Path, error: OSError) -> TransientError:
    return TransientError(
        f"{path} cannot be reached ({type(error).__name__} {error.errno}): check the mount and "
        "the permissions of the storage root"
    )


def _dead(one: Received) -> Dead:
    return one, FILE_MISSING, f"{one.event.file_path} is gone"
