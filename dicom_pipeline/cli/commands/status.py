"""``dicom-pipeline status``."""

from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish, load_settings


def status(
    as_json: Annotated[bool, typer.Option("--json", help="JSON instead of tables.")] = False,
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Metrics for Prometheus instead of tables.")
    ] = False,
) -> None:
    """Show the lag of each queue, what each stage has done, failures and the receiver."""

    def body() -> int:
        from dicom_pipeline.cli.status import run_status  # noqa: PLC0415 - a quick --help

        return run_status(load_settings(), as_json=as_json, prometheus=prometheus)

    finish(body)


command = status
