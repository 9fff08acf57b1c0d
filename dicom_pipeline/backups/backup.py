"""Making a backup: a new folder beside the earlier ones."""

import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from dicom_pipeline.backups import servers, trees
from dicom_pipeline.backups.manifest import NAME, CopiedTree, Manifest, describe_file
from dicom_pipeline.backups.sqlite_copies import copy_database
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import URL

DATABASES: Final = (
    "dagster/**/*.db",  # the cursors first: they may be behind the queues, not ahead of them
    "outbox/*.db",
    "commitment/*.db",
    "events.db",
    "catalog.db",
    "warehouse.db",
)
"""SQLite files of a home, in the order in which an event passes them."""
FILES: Final = ("dagster/dagster.yaml", "peers.toml")
"""Further files of a home."""
CATALOG_DUMP: Final = "mysql/catalog.sql"
DAGSTER_DUMP: Final = "postgres/dagster.dump"
DAGSTER_MYSQL_DUMP: Final = "mysql/dagster.sql"
_PARTIAL: Final = ".partial"

Say = Callable[[str], None]


class DagsterServer(NamedTuple):
    """Where Dagster's storage is, if it is a server."""

    kind: str
    """``postgres`` or ``mysql``."""
    url: "URL"

    @property
    def dump(self) -> str:
        """The dump's path in a backup."""
        return DAGSTER_DUMP if self.kind == "postgres" else DAGSTER_MYSQL_DUMP


class Wishes(NamedTuple):
    """What a backup holds beside tables and queues."""

    objects: bool = True
    renditions: bool = False


def back_up(
    settings: Settings, to: Path, wishes: Wishes, dagster: DagsterServer | None, say: Say
) -> Path:
    """Copy everything into a new folder below ``to``; everything may go on running.

    A folder of which the copying was interrupted is not lost: the next backup links its objects.

    Args:
        settings: choose home and systems.
        to: a folder of backups, on another disk.
        wishes: what to copy.
        dagster: where Dagster's storage is; None: in the home.
        say: takes a line for each step.

    Returns:
        the new folder.

    Raises:
        TransientError: a system is away, or a copy has failed.
        ConfigurationError: a program is missing, or ``to`` is inside what is copied.
    """
    _check(settings, to, wishes)
    started = datetime.now(UTC)
    final = to / started.strftime("%Y%m%dT%H%M%SZ")
    folder = final.with_name(f"{final.name}{_PARTIAL}")
    earlier = _earlier(to)
    folder.mkdir(parents=True)
    manifest = Manifest(started=started.isoformat(timespec="seconds"), version=_version())
    if dagster:
        say(f"Dagster's storage ({dagster.kind})")
        dump = servers.dump_postgres if dagster.kind == "postgres" else servers.dump_mysql
        dump(dagster.url, folder / dagster.dump)
        manifest.files[dagster.dump] = describe_file(folder / dagster.dump)
    for path in _databases(settings.home):
        say(str(path))
        copy = folder / "home" / path
        rows = copy_database(settings.home / path, copy)
        manifest.files[f"home/{path}"] = describe_file(copy, rows)
    _servers(settings, folder, manifest, say)
    for source, name in _files(settings):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        manifest.files[name] = describe_file(target)
    _trees(settings, folder, manifest, wishes, earlier, say)
    manifest.ended = datetime.now(UTC).isoformat(timespec="seconds")
    manifest.save(folder)
    folder.rename(final)
    for left in to.glob(f"*{_PARTIAL}"):
        shutil.rmtree(left)
    return final


def _version() -> str:
    from importlib.metadata import version  # noqa: PLC0415 - slow, and only here

    return version("dicom-pipeline")


def _check(settings: Settings, to: Path, wishes: Wishes) -> None:
    if wishes.objects or wishes.renditions:
        trees.require_rsync()
    for copied in (settings.storage, settings.renditions):
        if to.absolute().is_relative_to(copied):
            raise ConfigurationError(f"{to} lies in {copied}, which is to be copied: name another")


def _earlier(to: Path) -> list[Path]:
    """Folders whose files may be linked, the newest first (rsync takes up to 20)."""
    found = sorted((path for path in to.glob("*") if path.is_dir()), reverse=True)
    complete = [path for path in found if (path / NAME).exists()][:1]
    return [*complete, *(path for path in found if path.name.endswith(_PARTIAL))][:10]


def _databases(home: Path) -> Iterator[Path]:
    for pattern in DATABASES:
        for path in sorted(home.glob(pattern)):
            yield path.relative_to(home)


def _servers(settings: Settings, folder: Path, manifest: Manifest, say: Say) -> None:
    if settings.event_log_url:
        manifest.left_out.append(
            "the queues in Kafka: what no stage had processed is published again by `reindex`"
        )
    if settings.catalog_url:
        from sqlalchemy import make_url  # noqa: PLC0415 - heavy, and only for servers

        say("catalog (MySQL)")
        servers.dump_mysql(make_url(settings.catalog_url), folder / CATALOG_DUMP)
        manifest.files[CATALOG_DUMP] = describe_file(folder / CATALOG_DUMP)
    if settings.warehouse_url:
        manifest.left_out.append(
            "the warehouse in Doris: restore it by its own RESTORE SNAPSHOT, or by `reindex`"
        )


def _files(settings: Settings) -> Iterator[tuple[Path, str]]:
    for name in FILES:
        if (settings.home / name).is_file():
            yield settings.home / name, f"home/{name}"
    if settings.peers_file and settings.peers.is_file():
        yield settings.peers, "peers.toml"
    if (env := Path(".env")).is_file():
        yield env, "env"


def _trees(  # noqa: PLR0913, PLR0917 - one step of a long way
    settings: Settings,
    folder: Path,
    manifest: Manifest,
    wishes: Wishes,
    earlier: list[Path],
    say: Say,
) -> None:
    def linked(name: str) -> list[Path]:
        return [path / name for path in earlier if (path / name).is_dir()]

    copied: dict[str, CopiedTree] = manifest.trees
    if wishes.objects:
        say(f"objects ({settings.storage})")
        links = linked("storage")
        copied["storage"] = trees.copy_storage(settings.storage, folder / "storage", links)
    else:
        manifest.left_out.append(f"the objects in {settings.storage}: copy them after this")
    if wishes.renditions:
        say(f"renditions ({settings.renditions})")
        links = linked("renditions")
        copied["renditions"] = trees.copy_tree(settings.renditions, folder / "renditions", links)
    else:
        manifest.left_out.append("the renditions: `reindex` makes them again")
