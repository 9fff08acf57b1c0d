"""The files of the storage root, in an order that an interrupted walk can go on in."""

import os
from bisect import bisect_left
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.errors import TransientError
from dicom_pipeline.storage import INCOMING

_NOT_TENANTS: Final = frozenset({INCOMING, "lost+found"})
_TENANTS: Final = 0
_STUDIES: Final = 2
"""Levels of the layout, see `dicom_pipeline.storage`."""
_FOLDER: Final = "folder"


class Found(NamedTuple):
    """A file, or what cannot be looked at."""

    path: str
    """Relative to the root, with forward slashes."""
    share: float
    """How much of the tree lies before it, from 0 to 1, as far as its folders tell."""
    problem: str = ""
    """Why it is no file to read, for people; empty for a file."""


class _Entry(NamedTuple):
    name: str
    kind: str
    """Empty for a file, `_FOLDER`, or why it is neither."""


class _Folder(NamedTuple):
    path: str
    """With a slash behind it, unless it is the root."""
    entries: Iterator[tuple[int, _Entry]]
    """What is still to be looked at, numbered."""
    number: int
    """Of its entries."""
    share: float
    """Where it begins in the whole tree."""
    width: float
    """How much of the whole tree it is taken to be."""


def walk(
    root: Path,
    *,
    tenants: Collection[str] = (),
    studies: Collection[str] = (),
    after: str = "",
) -> Iterator[Found]:
    """Every file below the tenants' folders, ordered by the parts of its path.

    Memory holds the names of one folder of each level. Names that begin with a dot are no objects:
    snapshots of a file server, files that are being written. Links are not followed.

    Args:
        root: the storage root.
        tenants: only these tenants' folders; empty: all.
        studies: only these studies' folders; empty: all.
        after: go on behind this path.

    Raises:
        TransientError: the root itself cannot be listed.
    """
    passed = after.split("/") if after else []
    wanted = {_TENANTS: frozenset(tenants), _STUDIES: frozenset(studies)}
    try:
        top = [each for each in _list(root) if each.name not in _NOT_TENANTS]
    except OSError as error:
        raise TransientError(
            f"storage root {root} cannot be listed ({type(error).__name__} {error.errno}): check "
            "its mount and its permissions"
        ) from error
    folders = [_Folder("", _behind(top, passed), len(top), 0.0, 1.0)]
    while folders:
        folder = folders[-1]
        place, entry = next(folder.entries, (0, None))
        if entry is None:
            folders.pop()
            continue
        level = len(folders) - 1
        if wanted.get(level) and entry.name not in wanted[level]:
            continue
        path = f"{folder.path}{entry.name}"
        share = folder.share + folder.width * place / folder.number
        if not _is_text(entry.name):
            shown = path.encode(errors="replace").decode()
            yield Found(shown, share, "its name is no UTF-8")
            continue
        if entry.kind != _FOLDER:
            if path != after:
                yield Found(path, share, entry.kind)
            continue
        try:
            below = _list(root / path)
        except OSError as error:
            yield Found(path, share, f"it cannot be listed ({type(error).__name__})")
            continue
        inside = passed[level + 1 :] if path.split("/") == passed[: level + 1] else []
        width = folder.width / folder.number
        folders.append(_Folder(f"{path}/", _behind(below, inside), len(below), share, width))


def _list(path: Path) -> list[_Entry]:
    """The entries of a folder, by name; their kinds come with them, without a look at each."""
    with os.scandir(path) as found:
        return sorted(
            _Entry(each.name, _kind(each)) for each in found if not each.name.startswith(".")
        )


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "a link: links are not followed"
    if entry.is_dir(follow_symlinks=False):
        return _FOLDER
    return "" if entry.is_file(follow_symlinks=False) else "neither file nor folder"


def _behind(entries: list[_Entry], passed: list[str]) -> Iterator[tuple[int, _Entry]]:
    """What an earlier walk has not passed, beginning with the entry that it ended in."""
    start = bisect_left(entries, (passed[0],)) if passed else 0
    return iter(list(enumerate(entries))[start:])
