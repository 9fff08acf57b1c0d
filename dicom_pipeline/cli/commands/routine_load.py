"""``dicom-pipeline routine-load``."""

from enum import StrEnum
from typing import Annotated

import typer

from dicom_pipeline.cli.exits import finish, load_settings


class Action(StrEnum):
    """What to do with the routine load."""

    SHOW = "show"
    CREATE = "create"
    ALTER = "alter"
    PAUSE = "pause"
    RESUME = "resume"
    STOP = "stop"
    RECREATE = "recreate"
    REPAIR = "repair"


def routine_load(
    action: Annotated[Action, typer.Argument(help="What to do.")],
    start: Annotated[
        str,
        typer.Option(
            help="create, recreate: OFFSET_BEGINNING or OFFSET_END. Default: where it stood."
        ),
    ] = "",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", help="alter: a property as name=value; may be repeated."),
    ] = None,
    offset: Annotated[
        list[str] | None,
        typer.Option(help="alter: what to read next, as partition=offset; may be repeated."),
    ] = None,
    look_ahead: Annotated[
        int,
        typer.Option(
            min=1, help="repair: how many messages of each partition to search for refused ones."
        ),
    ] = 300_000,
    keep_paused: Annotated[
        bool, typer.Option("--keep-paused", help="repair: do not resume it afterwards.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="show: JSON instead of a table.")] = False,
) -> None:
    """Manage Doris' routine load of the log queue into dicom_object_meta.

    With an embedded warehouse or event log there is nothing to manage, and the command says so.
    """

    def body() -> int:
        from dicom_pipeline.cli.routine_loading import (  # noqa: PLC0415 - a quick --help
            Asked,
            run_routine_load,
        )

        asked = Asked(
            action=action.value,
            start=start,
            properties=tuple(set_ or ()),
            offsets=tuple(offset or ()),
            look_ahead=look_ahead,
            resume=not keep_paused,
            as_json=as_json,
        )
        return run_routine_load(load_settings(), asked)

    finish(body)


command = routine_load
