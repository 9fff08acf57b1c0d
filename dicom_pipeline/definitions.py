"""The code location: everything that the files under `defs` define."""

from pathlib import Path

import dagster as dg


@dg.definitions
def definitions() -> dg.Definitions:
    """Load the folder `defs`."""
    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
