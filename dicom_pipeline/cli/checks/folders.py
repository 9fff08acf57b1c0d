"""The folders that the settings name: the home, the storage root, the renditions."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from dicom_pipeline.cli.checks.check import Check, failure, ok, warning
from dicom_pipeline.cli.checks.file_systems import (
    WITHOUT_LINKS,
    existing,
    has_locks,
    is_network,
    kind,
    may_write,
)
from dicom_pipeline.settings import Settings

HOME: Final = "home folder"
STORAGE: Final = "storage root"
RENDITIONS: Final = "renditions"
MANIFESTS: Final = "manifests"

_FEW_INODES: Final = 10_000


def check_home(settings: Settings) -> Iterator[Check]:
    """The outbox, and what is embedded, need a local disk."""
    yield _rights(HOME, settings.home, "DICOM_PIPELINE_HOME")
    if is_network(settings.home):
        remedy = "set DICOM_PIPELINE_HOME to a folder on a local disk: outboxes and SQLite need one"
        yield failure(HOME, "file system", kind(settings.home), remedy)
    else:
        yield ok(HOME, "file system", kind(settings.home) or "not known")


def check_storage(settings: Settings) -> Iterator[Check]:
    """Where originals go."""
    yield _rights(STORAGE, settings.storage, "STORAGE_ROOT")
    yield _storage_file_system(settings.storage)
    yield _space(STORAGE, settings.storage, settings.receiver_min_free_bytes)
    yield _inodes(STORAGE, settings.storage)


def check_renditions(settings: Settings) -> Iterator[Check]:
    """Where renditions go."""
    yield _rights(RENDITIONS, settings.renditions, "RENDITION_ROOT")
    yield _space(RENDITIONS, settings.renditions, 0)


def check_manifests(settings: Settings) -> Iterator[Check]:
    """Where study manifests go: their writers keep out of each other's way by a lock."""
    yield _rights(MANIFESTS, settings.manifests, "MANIFEST_ROOT")
    yield _space(MANIFESTS, settings.manifests, 0)
    if not has_locks(existing(settings.manifests)):
        remedy = "allow locks (NFS: lockd), or see that one run writes manifests at a time"
        yield warning(MANIFESTS, "file system", "files cannot be locked", remedy)


def _storage_file_system(root: Path) -> Check:
    found = kind(root) or "not known"
    if found in WITHOUT_LINKS:
        remedy = "set STORAGE_ROOT to a file system with hard links: the receiver needs them"
        return failure(STORAGE, "file system", f"{found}: a file has one name only", remedy)
    if not has_locks(root):
        remedy = "allow locks (NFS: lockd), or see that no two receivers share a WORKER_NODE_ID"
        return warning(STORAGE, "file system", f"{found}: files cannot be locked", remedy)
    return ok(STORAGE, "file system", found)


def _rights(system: str, folder: Path, variable: str) -> Check:
    there = existing(folder)
    if there.is_dir() and may_write(there):
        found = str(folder) if folder.exists() else f"{folder}, not created yet"
        return ok(system, "rights", found)
    remedy = f"make {there} a folder that this user may write to, or set {variable} to another"
    return failure(system, "rights", f"{folder} cannot be written", remedy)


def _space(system: str, folder: Path, needed: int) -> Check:
    free = shutil.disk_usage(existing(folder)).free
    found = f"{free / 1e9:.1f} GB free for {folder}"
    if free < needed:
        remedy = "free space: below RECEIVER_MIN_FREE_BYTES every object is refused"
        return failure(system, "space", found, remedy)
    if free < max(10 * needed, 1 << 30):
        return warning(system, "space", found, "plan for more space")
    return ok(system, "space", found)


def _inodes(system: str, folder: Path) -> Check:
    """A file system may be full of files while it has room for bytes."""
    status = os.statvfs(existing(folder))
    if status.f_files and status.f_favail < _FEW_INODES:
        found = f"room for {status.f_favail} more files"
        return failure(system, "inodes", found, "remove small files, or use another file system")
    return ok(system, "inodes", f"{status.f_favail} free" if status.f_files else "no limit")
