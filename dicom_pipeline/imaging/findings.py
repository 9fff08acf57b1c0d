"""Findings: what was wrong with an object that was kept all the same."""

from functools import lru_cache
from typing import Final

from pydicom.datadict import keyword_for_tag

FINDINGS_LIMIT: Final = 100
"""Most findings kept of one object."""


@lru_cache(maxsize=8192)
def attribute_name(tag: int) -> str:
    """The attribute's keyword, or ``(gggg,eeee)`` of one that PS3.6 does not list."""
    return keyword_for_tag(tag) or f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


class Findings:
    """Collects short, stable texts ``<Keyword>: what was wrong``, without the patient's values.

    A replay of the same bytes gives the same findings: they are kept without doubles, the first
    `FINDINGS_LIMIT` of them in the order of the header, and handed out sorted.
    """

    def __init__(self) -> None:
        self._texts: set[str] = set()

    def add(self, name: str, what: str) -> None:
        """Note `what` was wrong with the attribute `name` (a keyword, or ``header``)."""
        if len(self._texts) < FINDINGS_LIMIT:
            self._texts.add(f"{name}: {what}")

    def sorted(self) -> tuple[str, ...]:
        return tuple(sorted(self._texts))
