"""What a log line may say of an exception: never a value that could be a patient's.

The text of an exception of ours, of the operating system or of SQLite names things and causes. Any
other may quote what it stumbled over, so only its type and its place are told.
"""

import sqlite3
import traceback
from pathlib import Path
from typing import Final

from dicom_pipeline.errors import PipelineError

_FRAMES: Final = 8
_CAUSES: Final = 4


def described(error: BaseException) -> dict[str, str]:
    """``error`` and ``place`` for the ``extra`` of a log line: of the exception and its causes."""
    chain = [error]
    while len(chain) < _CAUSES and (cause := chain[-1].__cause__ or chain[-1].__context__):
        chain.append(cause)
    return {
        "error": " <- ".join(_text(each) for each in chain),
        "place": " <- ".join(filter(None, map(_place, chain))),
    }


def _text(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, OSError):
        return f"{name}: {error.strerror}" if error.strerror else name
    if isinstance(error, PipelineError | sqlite3.Error):
        return f"{name}: {error}"
    return name


def _place(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return " > ".join(f"{Path(each.filename).name}:{each.lineno} {each.name}" for each in frames)
