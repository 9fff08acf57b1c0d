"""``dicom-pipeline reindex``."""

from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish, load_settings


def reindex(
    tenant: Annotated[
        list[str] | None, typer.Option(help="Only this tenant; may be repeated.")
    ] = None,
    study: Annotated[
        list[str] | None, typer.Option(help="Only this study instance UID; may be repeated.")
    ] = None,
    since: Annotated[
        str, typer.Option(help="Only objects received at or after this time (ISO 8601, UTC).")
    ] = "",
    verify: Annotated[
        bool, typer.Option("--verify", help="Read every file whole and compare its digest.")
    ] = False,
    adopt: Annotated[
        bool, typer.Option("--adopt", help="Also take files that no receiver has written.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only look at the files; nothing is published.")
    ] = False,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="End once all is queued.")] = False,
    from_start: Annotated[
        bool, typer.Option("--from-start", help="Do not go on with an interrupted call.")
    ] = False,
    ahead: Annotated[
        int, typer.Option(help="Publish while no stage has more messages than this to do.", min=1)
    ] = 100_000,
    jobs: Annotated[
        int, typer.Option(help="Processes that read files; 0: WORKER_PROCESSES.", min=0)
    ] = 0,
) -> None:
    """Rebuild catalog and warehouse from the files of the storage root alone.

    Publishes the event of every stored object once more; the stages do the rest, so `up`, or
    whatever runs them, must be running. May be called at any time: rows that are there stay. An
    interrupted call goes on where it stopped when it is repeated. Exit code 3: some files have no
    event or are damaged; they are listed.
    """

    def body() -> int:
        from dicom_pipeline.backfill.selection import distinct, moment  # noqa: PLC0415 - a quick --help
        from dicom_pipeline.cli.reindexing import Wishes, run_reindex  # noqa: PLC0415
        from dicom_pipeline.reindexing import Scope  # noqa: PLC0415

        scope = Scope(
            tenants=distinct(tenant or []),
            studies=distinct(study or []),
            since=moment("--since", since) or 0,
            verify=verify,
            adopt=adopt,
        )
        wishes = Wishes(
            dry_run=dry_run, wait=not no_wait, from_start=from_start, ahead=ahead, jobs=jobs
        )
        return run_reindex(load_settings(), scope, wishes)

    finish(body)


command = reindex
