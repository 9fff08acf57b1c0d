"""``dicom-pipeline copy``."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish, load_settings


def copy(
    from_home: Annotated[
        Path | None,
        typer.Option(help="The home folder to copy from. Default: that of the settings."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Copy only event-log, catalog or warehouse; may be repeated."),
    ] = None,
) -> None:
    """Copy what an embedded home holds into the systems that the settings choose by URL.

    Copies tables and the messages that no stage has processed, and compares every row in the end.
    Nothing may run on the home meanwhile. An interrupted call goes on where it stopped when it is
    repeated; copying twice, or onto newer rows, changes nothing.
    """

    def body() -> int:
        from dicom_pipeline.cli.copying import run_copy  # noqa: PLC0415 - a quick --help

        return run_copy(load_settings(), from_home, only or [])

    finish(body)


command = copy
