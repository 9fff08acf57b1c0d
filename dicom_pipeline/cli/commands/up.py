"""``dicom-pipeline up``."""

from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish, load_settings


def up(
    *,
    no_receiver: Annotated[
        bool, typer.Option("--no-receiver", help="Run no receiver here: they run elsewhere.")
    ] = False,
) -> None:
    """Run everything on this machine: receiver, queues, stages and the Dagster UI.

    Applies migrations before the stages start. Restarts a part that dies; Ctrl-C or SIGTERM stops
    all of them.
    """

    def body() -> int:
        from dicom_pipeline.cli.up import run_up  # noqa: PLC0415 - a quick --help

        return run_up(load_settings(), receiver=not no_receiver)

    finish(body)


command = up
