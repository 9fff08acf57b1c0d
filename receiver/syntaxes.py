"""The transfer syntaxes that the receiver accepts, in its order of preference, as data.

The acceptor's order decides (PS3.8 9.3.3.2 leaves the choice to it): what every viewer and
library reads first, lossless before lossy, big endian last.
"""

from collections.abc import Iterable
from typing import Final

IMPLICIT_LITTLE: Final = "1.2.840.10008.1.2"
EXPLICIT_LITTLE: Final = "1.2.840.10008.1.2.1"
EXPLICIT_BIG: Final = "1.2.840.10008.1.2.2"
PAPYRUS_IMPLICIT: Final = "1.2.840.10008.1.20"
GE_IMPLICIT: Final = "1.2.840.113619.5.2"
"""GE's private syntax: implicit VR little endian but for big-endian pixels."""

IMPLICIT: Final = frozenset({IMPLICIT_LITTLE, PAPYRUS_IMPLICIT, GE_IMPLICIT})
DEFLATED: Final = frozenset(
    {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
)
"""The whole data set is a raw deflate stream (PS3.5 A.5)."""

_JPEG: Final = "1.2.840.10008.1.2.4."
_UNCOMPRESSED: Final = (
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    "1.2.840.10008.1.2.1.98",  # Encapsulated Uncompressed
    "1.2.840.10008.1.2.1.99",  # Deflated
)
_LOSSLESS: Final = (
    *(f"{_JPEG}{last}" for last in (70, 57, 80, 90, 201, 202, 92, 110)),
    "1.2.840.10008.1.2.5",  # RLE
    "1.2.840.10008.1.2.8.1",  # Deflated Image Frame
)
_LOSSY: Final = tuple(f"{_JPEG}{last}" for last in (111, 50, 51, 81, 91, 203, 93, 112))
_VIDEO: Final = (
    *(f"{_JPEG}{last}{kind}" for last in range(100, 107) for kind in ("", ".1")),
    *(f"{_JPEG}{last}" for last in (107, 108)),
    *(f"1.2.840.10008.1.2.7.{last}" for last in (1, 2, 3)),
)
_REFERENCED: Final = tuple(f"{_JPEG}{last}" for last in (94, 95, 204, 205))
_RETIRED: Final = (
    *(f"{_JPEG}{last}" for last in (58, 65, 66, 55, 59, 60, 61, 62, 63, 64, 52, 53, 54, 56)),
    PAPYRUS_IMPLICIT,
)

DEFAULT_ORDER: Final = (
    *_UNCOMPRESSED,
    *_LOSSLESS,
    *_LOSSY,
    *_VIDEO,
    *_REFERENCED,
    *_RETIRED,
    GE_IMPLICIT,
    EXPLICIT_BIG,
)


def preference(first: Iterable[str] = (), further: Iterable[str] = ()) -> tuple[str, ...]:
    """The accepted syntaxes, best first: ``first``, the default order, then ``further`` ones.

    ``further`` (private syntaxes of the settings) stand before big endian, which stays last
    unless a peer prefers it.
    """
    return tuple(dict.fromkeys((*first, *DEFAULT_ORDER[:-1], *further, DEFAULT_ORDER[-1])))
