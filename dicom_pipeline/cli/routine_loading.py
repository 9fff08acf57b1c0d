"""The command `routine-load`: what it is asked, what it does, what it shows."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from rich.console import Console
from rich.table import Table

from dicom_pipeline.cli.exits import INCOMPLETE, OK
from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.routine_load import NOTHING_TO_MANAGE, feeds_the_table
from dicom_pipeline.routine_load.looking import error_lines, figures, look
from dicom_pipeline.routine_load.opening import Managed, open_routine_load
from dicom_pipeline.routine_load.repair import repair
from dicom_pipeline.routine_load.statements import Start
from dicom_pipeline.routine_load.watching import Watch, judge
from dicom_pipeline.settings import Settings

_OFFSET: Final = re.compile(r"(\d{1,9})=(\d{1,18})", re.ASCII)


class Asked(NamedTuple):
    """The command line."""

    action: str
    start: str = ""
    properties: Sequence[str] = ()
    """``name=value`` each."""
    offsets: Sequence[str] = ()
    """``partition=offset`` each."""
    look_ahead: int = 300_000
    resume: bool = True
    as_json: bool = False


def run_routine_load(settings: Settings, asked: Asked) -> int:
    """Do what was asked and show how it is then.

    Raises:
        ConfigurationError: an option is malformed, or does not belong to the action.
    """
    _require_fitting(asked)
    if not feeds_the_table(settings):
        Console(soft_wrap=True).print(NOTHING_TO_MANAGE, highlight=False)
        return OK
    with open_routine_load(settings) as managed:
        if asked.action == "show":
            return _show(managed, as_json=asked.as_json)
        told = _ACTIONS[asked.action](managed, asked)
    Console(soft_wrap=True).print(told, highlight=False, markup=False)
    return OK


def _show(managed: Managed, *, as_json: bool) -> int:
    """Exit code 3: it needs a person."""
    seen = look(managed)
    verdict = judge(Watch(), seen, wall_clock_us())
    lines = error_lines(managed, seen.state) if verdict.problems else []
    shown = {**figures(seen), "problems": verdict.problems, "error_log": lines}
    if as_json:
        print(msgspec.json.format(msgspec.json.encode(shown)).decode())  # noqa: T201
    else:
        table = Table(show_header=False, title=managed.load.name)
        for name, value in shown.items():
            text = "\n".join(value) if isinstance(value, list) else str(value)
            table.add_row(name, text or "none")
        Console(soft_wrap=True).print(table, markup=False)
    return INCOMPLETE if verdict.needs_person else OK


def _alter(managed: Managed, asked: Asked) -> str:
    properties: dict[str, str] = {}
    for text in asked.properties:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigurationError("--set: say name=value")
        properties[name] = value
    offsets: dict[int, int] = {}
    for text in asked.offsets:
        match = _OFFSET.fullmatch(text)
        if not match:
            raise ConfigurationError("--offset: say partition=offset, e.g. 0=1200")
        offsets[int(match[1])] = int(match[2])
    return managed.load.alter(properties, offsets)


def _repair(managed: Managed, asked: Asked) -> str:
    report = repair(managed, asked.look_ahead, resume=asked.resume)
    return "\n".join([*(f"dead letter {told}" for told in report.refused), report.summary()])


def _start(asked: Asked) -> Start | None:
    try:
        return Start(asked.start) if asked.start else None
    except ValueError:
        raise ConfigurationError(f"--start: say {' or '.join(Start)}") from None


_ACTIONS: Final[Mapping[str, Callable[[Managed, Asked], str]]] = {
    "create": lambda managed, asked: managed.load.create(_start(asked)),
    "alter": _alter,
    "pause": lambda managed, _: managed.load.pause(),
    "resume": lambda managed, _: managed.load.resume(),
    "stop": lambda managed, _: managed.load.stop(),
    "recreate": lambda managed, asked: managed.load.recreate(_start(asked)),
    "repair": _repair,
}


def _require_fitting(asked: Asked) -> None:
    """An option that the action does not have is a mistake, not a wish to be passed over."""
    given = {
        "--start": (asked.start, {"create", "recreate"}),
        "--set": (asked.properties, {"alter"}),
        "--offset": (asked.offsets, {"alter"}),
        "--keep-paused": (not asked.resume, {"repair"}),
        "--json": (asked.as_json, {"show"}),
    }
    for option, (value, actions) in given.items():
        if value and asked.action not in actions:
            raise ConfigurationError(f"{option} is for {', '.join(sorted(actions))}")
