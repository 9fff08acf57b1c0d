"""``dicom-pipeline doctor``."""

from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish, load_settings


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of a table.")] = False,
) -> None:
    """Check this machine and every configured system, and say what to do about each problem."""

    def body() -> int:
        from dicom_pipeline.cli.checks.doctor import run_doctor  # noqa: PLC0415 - a quick --help

        return run_doctor(load_settings(), as_json=as_json)

    finish(body)


command = doctor
