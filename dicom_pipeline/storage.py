"""Where an object lies, and how it gets there durably.

Layout under the storage root::

    <tenant>/<StudyDate or 00000000>/<StudyInstanceUID>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm
    <tenant>/…/<SOPInstanceUID>~<version>.dcm    the same UID received again with other bytes
    incoming/<worker node>/<trace id>.dcm        not yet acknowledged, or its event not yet durable

No path is ever used for two contents, and a value from outside never leaves the root.
"""

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from dicom_pipeline.errors import PermanentError

INCOMING: Final = "incoming"
NO_DATE: Final = "00000000"

_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LENGTH: Final = 64
_DATE: Final = re.compile(r"[0-9]{8}")


class InvalidUIDError(PermanentError):
    """A UID is empty, too long, or has other characters than digits and dots (PS3.5 9.1)."""


class OutsideRootError(PermanentError):
    """A path would leave the root that it belongs to."""


def check_uid(keyword: str, uid: str) -> tuple[str, ...]:
    """Refuse what cannot be a UID; return findings on what is wrong but usable.

    Raises:
        InvalidUIDError: ``uid`` cannot be used in a path. The message does not repeat it.
    """
    if len(uid) > _UID_LENGTH:
        raise InvalidUIDError(f"{keyword}: longer than {_UID_LENGTH} characters")
    if not _UID.fullmatch(uid):
        raise InvalidUIDError(f"{keyword}: empty or not digits and dots")
    if any(len(part) > 1 and part.startswith("0") for part in uid.split(".")):
        return (f"{keyword}: component with a leading zero",)
    return ()


def date_folder(study_date: str) -> str:
    """The folder for a StudyDate value: the eight digits, or `NO_DATE` for anything else."""
    return study_date if _DATE.fullmatch(study_date) else NO_DATE


def object_path(
    tenant: str, study_date: str, study_uid: str, series_uid: str, sop_uid: str
) -> PurePosixPath:
    """Where a new object belongs, relative to the storage root. UIDs must have been checked."""
    return PurePosixPath(tenant, date_folder(study_date), study_uid, series_uid, f"{sop_uid}.dcm")


def versioned(path: PurePosixPath, version: int) -> PurePosixPath:
    """The name for other bytes under the same UID, received as ``version``."""
    return path.with_name(f"{path.stem}~{version}.dcm")


def locate(root: Path, relative: str | PurePosixPath) -> Path:
    """The file that a relative path of an event or a row means.

    Raises:
        OutsideRootError: the path is absolute or climbs out of ``root``.
    """
    parts = PurePosixPath(relative)
    if parts.is_absolute() or ".." in parts.parts:
        raise OutsideRootError(f"path {str(relative)!r} leaves its root {root}")
    return root / parts


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path) -> None:
    """Create a directory and its parents, each with a durable entry in its own parent."""
    if path.is_dir():
        return
    make_directories(path.parent)
    path.mkdir(exist_ok=True)
    sync_directory(path.parent)


def write_new(path: Path, parts: Iterable[bytes | memoryview]) -> None:
    """Write a file that must not exist yet; its bytes are durable when this returns."""
    with path.open("xb") as file:
        for part in parts:
            file.write(part)
        file.flush()
        os.fsync(file.fileno())


def link_new(source: Path, target: Path) -> None:
    """Give a file its final name, durably.

    Raises:
        FileExistsError: the name is taken; nothing was changed.
    """
    make_directories(target.parent)
    os.link(source, target)
    sync_directory(target.parent)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that appears under its name complete and durable, or not at all."""
    make_directories(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    sync_directory(path.parent)
