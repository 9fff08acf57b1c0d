"""How every process writes its log: lines of text for people, or JSON for collectors.

What is said about a message goes into ``extra``, and both forms write it::

    logger.info("object received", extra={"trace_id": trace_id})
"""

import logging
import sys
import time
from typing import Final, Literal

from pythonjsonlogger.json import JsonFormatter

_TEXT: Final = "%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s"
_TIME: Final = "%Y-%m-%dT%H:%M:%S"
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
"""What every record has: the rest was given as ``extra``."""


class TextFormatter(logging.Formatter):
    """One line a message, in UTC, with ``extra`` as ``name=value`` behind it."""

    converter = staticmethod(time.gmtime)

    def __init__(self) -> None:
        super().__init__(_TEXT, _TIME)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """The line, without exception and stack."""
        line = super().formatMessage(record)
        extra = {name: value for name, value in vars(record).items() if name not in _OWN}
        return " ".join((line, *(f"{name}={value!r}" for name, value in extra.items())))


def _json_formatter() -> logging.Formatter:
    formatter = JsonFormatter(
        "{levelname}{name}{message}",
        style="{",
        rename_fields={"levelname": "level", "name": "logger"},
        timestamp="time",
    )
    formatter.converter = time.gmtime
    return formatter


def set_up_logging(form: Literal["text", "json"], level: str) -> None:
    """Send this process's log to standard error; what was set up before is replaced."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(TextFormatter() if form == "text" else _json_formatter())
    root = logging.getLogger()
    for other in root.handlers[:]:
        root.removeHandler(other)
    root.addHandler(handler)
    root.setLevel(level)
