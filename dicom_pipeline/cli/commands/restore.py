"""``dicom-pipeline restore``."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish, load_settings


def restore(
    backup: Annotated[Path, typer.Argument(help="A folder that `backup` has made.")],
    no_objects: Annotated[
        bool, typer.Option("--no-objects", help="The storage root has survived.")
    ] = False,
) -> None:
    """Restore a backup into an empty home and empty databases, and compare what is there then.

    Nothing is written over. In the end it names the commands that close the gap between the backup
    and the loss.
    """

    def body() -> int:
        from dicom_pipeline.cli.backups import run_restore  # noqa: PLC0415 - a quick --help

        return run_restore(load_settings(), backup, objects=not no_objects)

    finish(body)


command = restore
