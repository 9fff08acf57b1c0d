"""``dicom-pipeline up``."""

from dicom_pipeline.cli.exits import finish, load_settings


def up() -> None:
    """Run everything on this machine: receiver, queues, stages and the Dagster UI.

    Applies migrations first. Restarts a part that dies; Ctrl-C or SIGTERM stops all of them.
    """

    def body() -> int:
        from dicom_pipeline.cli.up import run_up  # noqa: PLC0415 - a quick --help

        return run_up(load_settings())

    finish(body)


command = up
