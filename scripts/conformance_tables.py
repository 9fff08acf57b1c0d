"""Writes the tables of the conformance statements that follow from the code.

usage: python scripts/conformance_tables.py [--check] PAGE...

A table stands behind ``<!-- table: NAME -->``; its two header lines are the page's own. With
``--check`` nothing is written, and the exit code is 1 when a page differs.
"""

import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pydicom.uid import UID
from pynetdicom import sop_class

from dicom_pipeline.imaging.transfer_syntaxes import TRANSFER_SYNTAXES
from receiver.provider import accepted_contexts
from receiver.syntaxes import preference

Row = tuple[str, ...]

_TABLE: Final = re.compile(r"<!-- table: ([a-z-]+) -->\n((?:\|.*\n){2})((?:\|.*\n)*)")


def services() -> list[Row]:
    """What is accepted beside storage: name, UID, transfer syntaxes, best first."""
    contexts = accepted_contexts(frozenset(), ())
    return [
        (
            context.abstract_syntax.name.removesuffix(" SOP Class"),
            f"`{context.abstract_syntax}`",
            ", ".join(TRANSFER_SYNTAXES[str(each)].name for each in context.transfer_syntax),
        )
        for context in contexts
    ]


def storage_classes() -> list[Row]:
    """The storage SOP classes that are accepted without settings, by name."""
    others = {context.abstract_syntax for context in accepted_contexts(frozenset(), ())}
    uids = {context.abstract_syntax for context in accepted_contexts(None, preference())}
    return sorted((_class_name(uid), f"`{uid}`") for uid in uids - others)


def _class_name(uid: UID) -> str:
    """As in PS3.6, or made of pynetdicom's keyword: it may know newer classes than pydicom."""
    if uid.name != uid:
        return uid.name
    keyword = next(
        name for name, value in vars(sop_class).items() if isinstance(value, UID) and value == uid
    )
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", keyword)


def transfer_syntaxes() -> list[Row]:
    """Those of storage, the preferred first: rank, name, UID."""
    return [
        (str(rank), TRANSFER_SYNTAXES[uid].name, f"`{uid}`")
        for rank, uid in enumerate(preference(), 1)
    ]


TABLES: Final[dict[str, Callable[[], list[Row]]]] = {
    "services": services,
    "storage-classes": storage_classes,
    "transfer-syntaxes": transfer_syntaxes,
}


def rows(page: str, name: str) -> list[Row]:
    """The rows of one of a page's tables."""
    (body,) = (found[3] for found in _TABLE.finditer(page) if found[1] == name)
    return [tuple(cell.strip() for cell in line[1:-1].split("|")) for line in body.splitlines()]


def filled(page: str) -> str:
    """The page with its tables as the code has them."""

    def fill(found: re.Match[str]) -> str:
        if found[1] not in TABLES:
            return found[0]
        body = "".join(f"| {' | '.join(row)} |\n" for row in TABLES[found[1]]())
        return f"<!-- table: {found[1]} -->\n{found[2]}{body}"

    return _TABLE.sub(fill, page)


def main(arguments: list[str]) -> int:
    """Write or check the pages; returns the exit code."""
    paths = [Path(each) for each in arguments if each != "--check"]
    stale = []
    for path in paths:
        page = path.read_text(encoding="utf-8")
        if filled(page) != page:
            stale.append(path)
            if "--check" not in arguments:
                path.write_text(filled(page), encoding="utf-8")
    result = "differ from the code" if "--check" in arguments else "written"
    for path in stale:
        sys.stdout.write(f"{path}: tables {result}\n")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
