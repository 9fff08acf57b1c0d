"""The commands `backup` and `restore`: what they say."""

from pathlib import Path

from dicom_pipeline.backups import back_up
from dicom_pipeline.backups import restore as restore_backup
from dicom_pipeline.backups.backup import DagsterServer, Wishes
from dicom_pipeline.cli.checks.dagster_storage import server_of
from dicom_pipeline.cli.exits import OK
from dicom_pipeline.cli.stack_info import exclusive
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings


def run_backup(settings: Settings, to: Path, wishes: Wishes) -> int:
    """The command `backup`."""
    if not settings.home.is_dir():
        raise ConfigurationError(f"home {settings.home} is not there: set DICOM_PIPELINE_HOME")
    folder = back_up(settings, to, wishes, _dagster(settings), _say)
    _say(f"the backup is {folder}")
    return OK


def run_restore(settings: Settings, backup: Path, *, objects: bool) -> int:
    """The command `restore`."""
    with exclusive(settings.home):
        manifest = restore_backup(settings, backup, _dagster(settings), _say, objects=objects)
    _say("everything is there, with the counts and digests of the backup")
    for sentence in manifest.left_out:
        _say(f"not in the backup: {sentence}")
    if (backup / "env").exists():
        _say(f"settings as they were: {backup / 'env'}")
    # The renditions of all objects are missing, unless they were restored or have survived.
    since = f" --since {manifest.started}" if "renditions" in manifest.trees or not objects else ""
    _say(f"next: start `up`, then `dicom-pipeline reindex{since}`")
    return OK


def _dagster(settings: Settings) -> DagsterServer | None:
    found = server_of(settings)
    return DagsterServer(*found) if found else None


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - lines for people and logs
