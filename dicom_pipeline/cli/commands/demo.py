"""``dicom-pipeline demo``."""

from pathlib import Path
from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish, load_settings


def demo(
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write what is shown to this file as well.")
    ] = None,
    slices: Annotated[int, typer.Option(min=0, help="Slices of the generated CT series.")] = 200,
    time_limit: Annotated[
        int, typer.Option(min=1, help="Seconds that the stages have to catch up.")
    ] = 300,
) -> None:
    """Send real objects of many kinds through the whole flow and account for each of them.

    Runs on free ports in the home folder. At a terminal everything keeps running afterwards, for
    you to look around; without one, or with DEMO_EXIT=1, it is stopped, and the exit code is 0
    only if every object is accounted for.
    """

    def body() -> int:
        from dicom_pipeline.cli.stack_process import StackProcess  # noqa: PLC0415 - quick --help

        settings = load_settings()
        group = StackProcess(settings, {"RECEIVER_PORT": "0", "UI_PORT": "0", "VIEWER_PORT": "0"})
        group.start()
        try:
            # While the group starts: these imports take seconds.
            from dicom_pipeline.demo.run import run_demo  # noqa: PLC0415

            return run_demo(
                settings, group, slices=slices, time_limit=time_limit, json_file=json_file
            )
        finally:
            group.stop()

    finish(body)


command = demo
