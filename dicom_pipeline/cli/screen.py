"""The console that tables are printed on."""

import sys
from typing import Final

from rich.console import Console

WIDTH: Final = 120
"""Columns of a table where there is no terminal to ask."""


def screen() -> Console:
    """A console as wide as the terminal, or `WIDTH` when the output goes elsewhere."""
    return Console(width=None if sys.stdout.isatty() else WIDTH)
