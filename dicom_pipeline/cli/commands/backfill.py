"""``dicom-pipeline backfill``."""

from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish, load_settings


def backfill(
    code: Annotated[
        list[str] | None, typer.Option(help="Only this error code; may be repeated.")
    ] = None,
    syntax: Annotated[
        list[str] | None,
        typer.Option(help="Only files of this transfer syntax (UID); may be repeated."),
    ] = None,
    study: Annotated[
        list[str] | None, typer.Option(help="Only this study instance UID; may be repeated.")
    ] = None,
    tenant: Annotated[
        list[str] | None, typer.Option(help="Only this tenant; may be repeated.")
    ] = None,
    since: Annotated[
        str, typer.Option(help="Only objects received at or after this time (ISO 8601, UTC).")
    ] = "",
    until: Annotated[str, typer.Option(help="Only objects received before this time.")] = "",
    max_attempts: Annotated[
        int, typer.Option(help="Leave out objects that had so many further attempts.")
    ] = 5,
    limit: Annotated[int, typer.Option(help="Most objects to send, the oldest first.")] = 10_000,
    again: Annotated[
        bool,
        typer.Option("--again", help="Also what was sent before and is not decided since."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the objects that would be sent.")
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="End once they are queued.")] = False,
) -> None:
    """Send failed conversions through the transcode queue again, and follow what becomes of them.

    Without filters, every failed conversion is sent that has attempts left. An object that is
    queued and not decided is not sent twice. Exit code 0: all of them can be shown now, or there
    was nothing to send; 3: some cannot.
    """

    def body() -> int:
        from dicom_pipeline.backfill.selection import (  # noqa: PLC0415 - a quick --help
            Selection,
            distinct,
            moment,
        )
        from dicom_pipeline.cli.backfilling import run_backfill  # noqa: PLC0415

        selection = Selection(
            codes=distinct(code or []),
            transfer_syntaxes=distinct(syntax or []),
            studies=distinct(study or []),
            tenants=distinct(tenant or []),
            since=moment("--since", since),
            until=moment("--until", until),
            max_attempts=max_attempts,
            limit=limit,
            again=again,
        ).checked()
        settings = load_settings()
        return run_backfill(settings, selection, dry_run=dry_run, wait=not no_wait)

    finish(body)


command = backfill
