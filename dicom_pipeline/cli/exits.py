"""Exit codes, and how an error becomes one clear line and a code."""

import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

import typer

from dicom_pipeline.errors import ConfigurationError, PipelineError, TransientError

if TYPE_CHECKING:
    from dicom_pipeline.settings import Settings

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
INCOMPLETE: Final = 3
INTERRUPTED: Final = 130

EXIT_CODES: Final = {
    OK: "Everything asked for was done.",
    FAILED: "Something failed; the message says what and what to do.",
    USAGE: "The command line or a setting is wrong; nothing was done.",
    INCOMPLETE: "The work ended, but not everything is accounted for.",
    INTERRUPTED: "Interrupted by Ctrl-C; called again, long work goes on where it stopped.",
}
"""What each exit code of each command means."""


def load_settings() -> "Settings":
    """The settings of this process.

    Raises:
        ConfigurationError: naming each wrong variable and what is wrong with it, not its value.
    """
    import pydantic  # noqa: PLC0415 - a quick --help

    from dicom_pipeline.settings import Settings  # noqa: PLC0415

    try:
        return Settings()
    except pydantic.ValidationError as error:
        wrong = "; ".join(
            f"{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}" for one in error.errors()
        )
        raise ConfigurationError(
            f"{wrong} [set in the environment or .env; see docs/configuration.md]"
        ) from error


def run(body: Callable[[], int]) -> int:
    """The exit code of ``body``; its errors as one line on stderr."""
    try:
        return body()
    except ConfigurationError as error:
        return _report(error, USAGE)
    except TransientError as error:
        return _report(error, FAILED, "; try again later")
    except (PipelineError, OSError) as error:
        return _report(error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - a defect; its text may hold a patient's data
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(frame.filename).name}:{frame.lineno}"
        defect = PipelineError(
            f"{type(error).__name__} at {where}: a defect of this program; "
            "LOG_LEVEL=DEBUG shows more to report"
        )
        defect.__cause__ = error
        return _report(defect, FAILED)


def finish(body: Callable[[], int]) -> NoReturn:
    """End a typer command with the exit code of ``body``. SIGTERM is taken like Ctrl-C."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    raise typer.Exit(run(body))


def _report(error: Exception, code: int, remedy: str = "") -> int:
    typer.echo(f"{typer.style('error:', fg='red', bold=True)} {error}{remedy}", err=True)
    if _wants_traceback():
        traceback.print_exception(error, file=sys.stderr)
    return code


def _wants_traceback() -> bool:
    try:
        return load_settings().log_level == "DEBUG"
    except ConfigurationError:
        return False
