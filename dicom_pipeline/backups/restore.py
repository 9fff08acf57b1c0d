"""Restoring a backup into an empty home, and proving that everything is there."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dicom_pipeline.backups import servers, trees
from dicom_pipeline.backups.backup import CATALOG_DUMP, DagsterServer, Say
from dicom_pipeline.backups.manifest import CopiedFile, Manifest, describe_file, read_manifest
from dicom_pipeline.backups.sqlite_copies import count_rows
from dicom_pipeline.errors import ConfigurationError, PermanentError
from dicom_pipeline.settings import Settings
from dicom_pipeline.storage import atomic_file

if TYPE_CHECKING:
    from sqlalchemy import URL


def restore(
    settings: Settings, backup: Path, dagster: DagsterServer | None, say: Say, *, objects: bool
) -> Manifest:
    """Copy a backup to where the settings say, and compare what is there then with the manifest.

    Nothing is written over: home, storage root and databases must be empty. The objects go first,
    so that no table speaks of a file that is not there yet.

    Args:
        settings: choose home and systems.
        backup: a folder that `back_up` has made.
        dagster: where Dagster's storage is to be; None: in the home.
        say: takes a line for each step.
        objects: restore the objects (and renditions) too; False: they have survived.

    Raises:
        ConfigurationError: the target is not empty, or the folder holds no backup.
        PermanentError: something of the backup is missing or changed.
        TransientError: a system is away, or a copy has failed.
    """
    manifest = read_manifest(backup)
    _require_empty(settings, manifest, objects=objects)
    into_catalog = bool(settings.catalog_url) and CATALOG_DUMP in manifest.files
    if into_catalog:
        servers.require_no_tables(_url(settings.catalog_url))
    into_dagster = dagster if dagster and dagster.dump in manifest.files else None
    if into_dagster:
        servers.require_no_tables(into_dagster.url)
    say("checking the backup")
    for name, wanted in manifest.files.items():
        _compare(backup / name, wanted)
    if objects:
        _trees(settings, backup, manifest, say)
    for name, target in _targets(settings, manifest):
        say(f"{target}")
        _copy(backup / name, target)
        _compare(target, manifest.files[name])
        if rows := manifest.files[name].rows:
            _compare_rows(target, rows)
    if into_catalog:
        say("catalog (MySQL)")
        servers.load_mysql(_url(settings.catalog_url), backup / CATALOG_DUMP)
    if into_dagster:
        say(f"Dagster's storage ({into_dagster.kind})")
        load = servers.load_postgres if into_dagster.kind == "postgres" else servers.load_mysql
        load(into_dagster.url, backup / into_dagster.dump)
    return manifest


def _url(text: str) -> "URL":
    from sqlalchemy import make_url  # noqa: PLC0415 - heavy, and only for servers

    return make_url(text)


def _require_empty(settings: Settings, manifest: Manifest, *, objects: bool) -> None:
    for _, target in _targets(settings, manifest):
        if target.exists():
            raise ConfigurationError(
                f"{target} is there already: restore into an empty home, or move it away first"
            )
    for name, root in _roots(settings) if objects else ():
        if name in manifest.trees and root.is_dir() and any(root.iterdir()):
            raise ConfigurationError(
                f"{root} is not empty: choose another, or keep its files with --no-objects"
            )


def _roots(settings: Settings) -> tuple[tuple[str, Path], ...]:
    return ("storage", settings.storage), ("renditions", settings.renditions)


def _targets(settings: Settings, manifest: Manifest) -> Iterator[tuple[str, Path]]:
    """The files of the backup that belong to the home, and where they go."""
    for name in manifest.files:
        first, _, below = name.partition("/")
        if first == "home":
            yield name, settings.home / below
        elif name == "peers.toml":
            yield name, settings.peers


def _trees(settings: Settings, backup: Path, manifest: Manifest, say: Say) -> None:
    for name, root in _roots(settings):
        if name not in manifest.trees:
            continue
        say(f"{name} ({root})")
        found = trees.copy_tree(backup / name, root)
        if found != manifest.trees[name]:
            wanted = manifest.trees[name]
            raise PermanentError(
                f"{root}: {found.files} files of {found.bytes} bytes, the backup was made with "
                f"{wanted.files} of {wanted.bytes}: is {backup / name} complete?"
            )


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as whole, atomic_file(target) as file:
        shutil.copyfileobj(whole, file, 1 << 20)


def _compare(path: Path, wanted: CopiedFile) -> None:
    try:
        found = describe_file(path)
    except FileNotFoundError:
        raise PermanentError(f"{path} is missing: take another backup") from None
    if (found.size, found.sha256) != (wanted.size, wanted.sha256):
        raise PermanentError(f"{path} has other bytes than its manifest says: take another backup")


def _compare_rows(path: Path, wanted: dict[str, int]) -> None:
    if (found := count_rows(path)) != wanted:
        raise PermanentError(f"{path}: {found} rows instead of {wanted}")
