"""Copies of the trees of files that never change, by rsync."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from dicom_pipeline.backups.manifest import CopiedTree
from dicom_pipeline.errors import ConfigurationError, TransientError
from dicom_pipeline.storage import INCOMING

_VANISHED: Final = 24
"""rsync's exit code when files went away meanwhile: receipts that have ended."""


def require_rsync() -> str:
    """The program.

    Raises:
        ConfigurationError: it is not installed.
    """
    if program := shutil.which("rsync"):
        return program
    raise ConfigurationError(
        "rsync is not installed: install it, or copy the objects by other means and leave them "
        "out here with --no-objects"
    )


def copy_storage(source: Path, target: Path, links: Sequence[Path] = ()) -> CopiedTree:
    """Copy a storage root.

    ``incoming`` goes first: what leaves it meanwhile is then found under its final name.

    Args:
        source: the storage root.
        target: a folder.
        links: earlier copies; a file that is there already is linked, not copied.
    """
    target.mkdir(parents=True, exist_ok=True)
    if (source / INCOMING).is_dir():
        _rsync(source / INCOMING, target / INCOMING)
    _rsync(source, target, f"--exclude=/{INCOMING}", links=links)
    return measure(target)


def copy_tree(source: Path, target: Path, links: Sequence[Path] = ()) -> CopiedTree:
    """Copy a tree of files."""
    target.mkdir(parents=True, exist_ok=True)
    _rsync(source, target, links=links)
    return measure(target)


def measure(folder: Path) -> CopiedTree:
    """Files and bytes below a folder."""
    files = total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            files += 1
            total += os.lstat(f"{parent}/{name}").st_size
    return CopiedTree(files, total)


def _rsync(source: Path, target: Path, *options: str, links: Sequence[Path] = ()) -> None:
    shown = ["--info=progress2"] if sys.stdout.isatty() else []
    command = [
        require_rsync(),
        "--archive",
        "--exclude=.*.partial",
        *shown,
        *options,
        *(f"--link-dest={link.absolute()}" for link in links),
        f"{source}/",
        f"{target}/",
    ]
    done = subprocess.run(command, check=False)  # noqa: S603 - our own words and the settings' paths
    if done.returncode not in {0, _VANISHED}:
        raise TransientError(
            f"rsync of {source} ended with {done.returncode}: see its words above, then call again"
        )
