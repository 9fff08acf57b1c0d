"""Where an object lies, and how it gets there durably.

Layout under the storage root::

    <tenant>/<StudyDate or 00000000>/<StudyInstanceUID>/<SeriesInstanceUID>/<SOPInstanceUID>.dcm
    <tenant>/…/<SOPInstanceUID>~<version>.dcm    the same UID received again with other bytes
    incoming/<worker node>/<trace id>.dcm        not yet acknowledged, or its event not yet durable
    incoming/<worker node>/<any>.spare           the same, or empty: for the next object

No path is ever used for two contents, and a value from outside never leaves the root.
"""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final

from dicom_pipeline.errors import PermanentError

INCOMING: Final = "incoming"
SPARE: Final = ".spare"
"""A file in ``incoming/`` that waits for an object, or holds one."""
NO_DATE: Final = "00000000"

_STRICT_UID: Final = re.compile(r"(?:0|[1-9][0-9]*)(?:\.(?:0|[1-9][0-9]*))*")
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+)*")
_UID_LENGTH: Final = 64
_DATE: Final = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")

_durable: Final[set[Path]] = set()
"""Folders whose entries in their parents this process has seen on disk."""
_DURABLE_MAX: Final = 4096
"""Each takes nearly 1 KB: a receiver that has met the series of a year must stay small."""


class InvalidUIDError(PermanentError):
    """A UID is empty, too long, or has other characters than digits and dots (PS3.5 9.1)."""


class OutsideRootError(PermanentError):
    """A path would leave the root that it belongs to."""


def keep_private() -> None:
    """Let nobody but this user read what this process and its children write from now on."""
    os.umask(0o077)


@lru_cache(maxsize=1024)
def check_uid(keyword: str, uid: str) -> tuple[str, ...]:
    """Refuse what cannot be a UID; return findings on what is wrong but usable.

    Raises:
        InvalidUIDError: ``uid`` cannot be used in a path. The message does not repeat it.
    """
    if len(uid) > _UID_LENGTH:
        raise InvalidUIDError(f"{keyword}: longer than {_UID_LENGTH} characters")
    if _STRICT_UID.fullmatch(uid):
        return ()
    if not _UID.fullmatch(uid):
        raise InvalidUIDError(f"{keyword}: empty or not digits and dots")
    return (f"{keyword}: component with a leading zero",)


@lru_cache(maxsize=256)
def parse_date(study_date: str) -> date | None:
    """The day that a StudyDate value (DA, PS3.5 6.2) means; None when there is no such day."""
    if digits := _DATE.fullmatch(study_date):
        with suppress(ValueError):
            return date(*map(int, digits.groups()))
    return None


def date_folder(study_date: str) -> str:
    """The folder for a StudyDate value: the eight digits, or `NO_DATE` for anything else."""
    return study_date if parse_date(study_date) else NO_DATE


def object_path(tenant: str, study_date: str, study_uid: str, series_uid: str, sop_uid: str) -> str:
    """Where a new object belongs, relative to the storage root. UIDs must have been checked.

    A string, like all that is done for every object: paths as objects take several times as long.
    """
    return f"{tenant}/{date_folder(study_date)}/{study_uid}/{series_uid}/{sop_uid}.dcm"


def versioned(path: str, version: int) -> str:
    """The name for other bytes under the same UID, received as ``version``."""
    return f"{path.removesuffix('.dcm')}~{version}.dcm"


def video_name(path: str) -> str:
    """The name of an object's video, beside where its display copy would be."""
    return f"{path.removesuffix('.dcm')}.mp4"


def newest(path: Path) -> Path:
    """The file last stored under a UID whose plain name exists: that or its greatest version."""
    versions = [
        int(version)
        for entry in path.parent.glob(f"{path.stem}~*.dcm")
        if (version := entry.stem.rpartition("~")[2]).isdecimal()
    ]
    if versions:
        return path.with_name(f"{path.stem}~{max(versions)}.dcm")
    return path


def locate(root: Path, relative: str | PurePosixPath) -> Path:
    """The file that a relative path of an event or a row means.

    Raises:
        OutsideRootError: the path is absolute or climbs out of ``root``.
    """
    parts = PurePosixPath(relative)
    if parts.is_absolute() or ".." in parts.parts:
        raise OutsideRootError(f"path {str(relative)!r} leaves its root {root}")
    return root / parts


def unfinished(root: Path, worker_node_id: str = "*") -> Iterator[Path]:
    """The objects in ``incoming/``, of one worker node or of all."""
    for folder in (root / INCOMING).glob(worker_node_id):
        yield from unfinished_in(folder)


def unfinished_in(folder: Path) -> Iterator[Path]:
    """The objects in one worker node's folder."""
    yield from folder.glob("*.dcm")
    for path in folder.glob(f"*{SPARE}"):
        with suppress(FileNotFoundError):  # its object is finished
            if holds_something(path):
                yield path


def holds_something(path: Path) -> bool:
    """Whether a file is not empty. It is opened for that: NFS may tell an old size otherwise.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.fstat(descriptor).st_size > 0
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Make the entries of a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_directories(path: Path) -> None:
    """Create a directory and its parents, each with a durable entry in its own parent.

    A directory that another thread or process has just made is synced as well: it may not be on
    disk yet. Each is synced once, until `_DURABLE_MAX` others have come.
    """
    if path in _durable and path.is_dir():
        return
    if path.parent != path:
        make_directories(path.parent)
    path.mkdir(exist_ok=True)
    with suppress(PermissionError):  # a parent we may not even read holds no directory of ours
        sync_directory(path.parent)
    if len(_durable) >= _DURABLE_MAX:
        _durable.clear()
    _durable.add(path)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write that appears under its name complete and durable, or not at all.

    A second writer of the same name waits for the first. What a killed one has left is written
    over, so nothing collects.
    """
    make_directories(path.parent)
    partial = path.with_name(f".{path.name}.partial")
    with _locked(partial) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    sync_directory(path.parent)


@contextmanager
def _locked(path: Path) -> Iterator[BinaryIO]:
    """The file under this name, empty, and ours alone while it has the name."""
    while True:
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if not _has_name(file, path):
                continue  # its last writer gave it its final name while we waited
            file.truncate(0)
            yield file
            return


def _has_name(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
