"""The application: one command per module of `commands`, whose work is imported when it runs."""

import typer

from dicom_pipeline.cli.commands import (
    backfill,
    backup,
    copy,
    demo,
    doctor,
    inspect,
    migrate,
    reindex,
    restore,
    routine_load,
    send,
    serve,
    sql,
    status,
    up,
)
from dicom_pipeline.storage import keep_private

app = typer.Typer(
    name="dicom-pipeline",
    help="Receive, queue, index, transcode and analyse medical images.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS = (
    up,
    demo,
    send,
    status,
    inspect,
    backfill,
    reindex,
    routine_load,
    migrate,
    doctor,
    copy,
    backup,
    restore,
    sql,
    serve,
)
for module in COMMANDS:
    app.command()(module.command)


def main() -> None:
    """Run the command line. What it writes is this user's alone."""
    keep_private()
    app()
