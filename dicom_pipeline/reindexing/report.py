"""What a reindexing is asked to do, and what became of the files."""

import msgspec

from receiver.stored import Earlier, LeftOut, Stored


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """Which files, and how they are looked at."""

    tenants: tuple[str, ...] = ()
    """Empty: all."""
    studies: tuple[str, ...] = ()
    """Study instance UIDs; empty: all."""
    since: int = 0
    """Only what was received at or after this time (µs since the epoch)."""
    verify: bool = False
    """Compare every file's bytes with its digest."""
    adopt: bool = False
    """Take files without a receipt as well."""


class Counts(msgspec.Struct):
    """What became of the files so far."""

    files: int = 0
    """All that were looked at."""
    events: int = 0
    """Published, or in a dry run found."""
    bytes: int = 0
    """Of the files with an event."""
    earlier: int = 0
    """Received before the time of interest."""
    damaged: int = 0
    """Among the files with an event."""
    adopted: int = 0
    left_out: dict[str, int] = {}
    """Files without an event, by code."""

    @property
    def good(self) -> bool:
        """Whether every file has an event and is as it was received."""
        return not self.damaged and not self.left_out

    def add(self, result: Stored | LeftOut | Earlier) -> None:
        """Count one file."""
        self.files += 1
        if isinstance(result, Stored):
            self.events += 1
            self.bytes += result.file_size
            self.damaged += bool(result.damage)
            self.adopted += result.adopted
        elif isinstance(result, LeftOut):
            self.left_out[result.code] = self.left_out.get(result.code, 0) + 1
        else:
            self.earlier += 1


def complaint(path: str, result: Stored | LeftOut | Earlier) -> str:
    """The line of the list of files that a person should look at; empty for a good file.

    Three columns: code, path, reason. A path is quoted where it could be taken for several lines.
    """
    if isinstance(result, LeftOut):
        code, reason = result.code, result.reason
    elif isinstance(result, Stored) and result.damage:
        code, reason = "damaged", result.damage
    else:
        return ""
    shown = path if path.isprintable() else repr(path)
    return f"{code}\t{shown}\t{reason}"
