"""``dicom-pipeline send``."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish, load_settings


def send(
    paths: Annotated[
        list[Path], typer.Argument(help="Files, and folders that are searched for DICOM files.")
    ],
    host: Annotated[str, typer.Option(help="Default: where this home's receiver listens.")] = "",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Default: that of this home's receiver.")
    ] = 0,
    aet: Annotated[str, typer.Option(help="Our own AE title.")] = "DICOM_SEND",
    aec: Annotated[str, typer.Option(help="The AE title called. Default: the receiver's.")] = "",
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Associations at a time.")] = 2,
    again: Annotated[
        bool, typer.Option("--again", help="Also send what was acknowledged before.")
    ] = False,
) -> None:
    """Send DICOM files by C-STORE, their data sets unchanged, and list what was answered.

    An interrupted call goes on where it stopped when it is repeated. Exit code 0: every file was
    accepted (warnings count as accepted).
    """

    def body() -> int:
        from dicom_pipeline.cli.sending import Destination, run_send  # noqa: PLC0415 - quick --help

        destination = Destination.of(load_settings(), host=host, port=port, called=aec, calling=aet)
        return run_send(paths, destination, jobs=jobs, again=again)

    finish(body)


command = send
