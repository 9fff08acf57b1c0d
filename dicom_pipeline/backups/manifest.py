"""What a backup consists of, so that a restore can tell whether all of it is there, unchanged."""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from dicom_pipeline.errors import ConfigurationError

NAME: Final = "manifest.json"
FORMAT: Final = 1


class CopiedFile(msgspec.Struct, frozen=True):
    """A copied database, dump or file of settings."""

    size: int
    sha256: str
    rows: dict[str, int] = {}
    """Of a database: rows of each table."""


class CopiedTree(msgspec.Struct, frozen=True):
    """A copied tree of files that never change."""

    files: int
    bytes: int


class Manifest(msgspec.Struct, kw_only=True):
    """The content of ``manifest.json``, which is written last."""

    format: int = FORMAT
    started: str
    """UTC, ISO 8601. What was acknowledged before is in the backup."""
    ended: str = ""
    version: str
    """Of the program."""
    files: dict[str, CopiedFile] = {}
    """By their paths in the backup."""
    trees: dict[str, CopiedTree] = {}
    """By their folders in the backup."""
    left_out: list[str] = []
    """What the backup does not hold, one sentence each."""

    def save(self, folder: Path) -> None:
        """Write it: the backup is complete."""
        (folder / NAME).write_bytes(msgspec.json.format(msgspec.json.encode(self)))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises:
        ConfigurationError: the folder holds no complete backup of a format that is known.
    """
    try:
        manifest = msgspec.json.decode((folder / NAME).read_bytes(), type=Manifest)
    except FileNotFoundError:
        raise ConfigurationError(
            f"{folder} holds no complete backup: name a folder that has a {NAME}"
        ) from None
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"{folder / NAME} is damaged: {error}") from error
    if manifest.format != FORMAT:
        raise ConfigurationError(
            f"{folder}: format {manifest.format} is unknown to this version, which reads {FORMAT}"
        )
    return manifest


def describe_file(path: Path, rows: dict[str, int] | None = None) -> CopiedFile:
    """Size and digest of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return CopiedFile(path.stat().st_size, digest, rows or {})
