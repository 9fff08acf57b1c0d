"""``dicom-pipeline backup``."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish, load_settings


def backup(
    to: Annotated[Path, typer.Argument(help="A folder of backups, on another disk.")],
    no_objects: Annotated[
        bool, typer.Option("--no-objects", help="The objects are copied by other means.")
    ] = False,
    renditions: Annotated[
        bool, typer.Option("--renditions", help="Also copy the renditions.")
    ] = False,
) -> None:
    """Copy databases, outboxes, settings and objects into a new folder; everything may go on.

    What was acknowledged before the start is in it. Objects that an earlier backup of the same
    folder has are linked, not copied.
    """

    def body() -> int:
        from dicom_pipeline.backups.backup import Wishes  # noqa: PLC0415 - a quick --help
        from dicom_pipeline.cli.backups import run_backup  # noqa: PLC0415

        return run_backup(load_settings(), to, Wishes(not no_objects, renditions))

    finish(body)


command = backup
