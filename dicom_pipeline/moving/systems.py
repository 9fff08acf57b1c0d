"""Which systems are moved, and from where to where."""

import re
from collections.abc import Collection
from enum import StrEnum
from pathlib import Path
from typing import Final

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings


class System(StrEnum):
    """A system that can be moved."""

    EVENT_LOG = "event-log"
    CATALOG = "catalog"
    WAREHOUSE = "warehouse"


FILES: Final = {
    System.EVENT_LOG: "events.db",
    System.CATALOG: "catalog.db",
    System.WAREHOUSE: "warehouse.db",
}
"""The embedded system's file in the home folder."""

_SQLITE: Final = "sqlite:///"
_PASSWORD: Final = re.compile(r"//[^/@]*@")


def chosen_url(settings: Settings, system: System) -> str:
    """The URL that chooses the system; empty for the embedded one."""
    url: str = getattr(settings, f"{system.name.lower()}_url")
    return url


def where(settings: Settings, system: System) -> str:
    """Names the system that the settings choose, without user, password and options."""
    url = chosen_url(settings, system).partition("?")[0]
    if not url:
        return str(settings.home / FILES[system])
    if url.startswith(_SQLITE):
        return str(Path(url.removeprefix(_SQLITE)).absolute())
    return _PASSWORD.sub("//", url)


def moved_systems(settings: Settings, home: Path, only: Collection[System] = ()) -> list[System]:
    """The systems to copy: their file is in ``home``, and the settings choose another place.

    Args:
        settings: choose where to.
        home: the source's home folder.
        only: leave out all others; empty for none.

    Raises:
        ConfigurationError: there is nothing to copy, or nothing of one that was asked for.
    """
    moved = [
        system
        for system, name in FILES.items()
        if (not only or system in only)
        and (home / name).is_file()
        and where(settings, system) != str(home / name)
    ]
    left_out = sorted(set(only) - set(moved))
    if left_out or not moved:
        names = left_out or list(FILES)
        variables = ", ".join(f"{System(name).name}_URL" for name in names)
        raise ConfigurationError(
            f"nothing to copy of {', '.join(names)}: {home} holds no file of it, or the settings "
            f"choose that very file; set {variables} to where it should go"
        )
    return moved
