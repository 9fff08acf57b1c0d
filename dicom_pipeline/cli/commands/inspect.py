"""``dicom-pipeline inspect``."""

from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish, load_settings


def inspect(
    uid: Annotated[str, typer.Argument(help="A SOP, series or study instance UID.")],
    patient: Annotated[
        bool, typer.Option("--patient", help="Also show the patient's id and name.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of tables.")] = False,
) -> None:
    """Show where an object, series or study lies and what became of it."""

    def body() -> int:
        from dicom_pipeline.cli.inspection import run_inspect  # noqa: PLC0415 - a quick --help

        return run_inspect(load_settings(), uid, patient=patient, as_json=as_json)

    finish(body)


command = inspect
