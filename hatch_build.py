"""Puts the viewer's page into the wheel where `make viewer` has built it."""

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

BUILT = Path("viewer") / "dist"
INSTALLED = Path("dicom_pipeline") / "viewer"


class CustomBuildHook(BuildHookInterface[Any]):
    """A wheel without the page is a whole product: the file server then says how to build it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name the files of the page; an editable installation finds them in the checkout."""
        built = Path(self.root) / BUILT
        if version == "editable" or not built.joinpath("index.html").is_file():
            return
        for path in sorted(built.rglob("*")):
            if path.is_file() and not path.name.startswith("."):
                build_data["force_include"][str(path)] = str(INSTALLED / path.relative_to(built))
