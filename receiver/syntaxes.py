"""The transfer syntaxes that the receiver accepts, in its order of preference.

Derived from the table of transfer syntaxes. The acceptor's order decides (PS3.8 9.3.3.2 leaves the
choice to it): what every viewer and library reads first, lossless before lossy, big endian last.
"""

from collections.abc import Iterable
from typing import Final

from dicom_pipeline.imaging.transfer_syntaxes import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    GE_PRIVATE,
    IMPLICIT_VR_LITTLE_ENDIAN,
    PAPYRUS,
    TRANSFER_SYNTAXES,
    Family,
    TransferSyntax,
    Viewer,
)

IMPLICIT: Final = frozenset({IMPLICIT_VR_LITTLE_ENDIAN, PAPYRUS, GE_PRIVATE})
"""GE's private syntax is implicit VR little endian but for big-endian pixels."""
DEFLATED: Final = frozenset(
    {"1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.205"}
)
"""The whole data set is a raw deflate stream (PS3.5 A.5)."""

_NO_DATA_SETS: Final = frozenset({"1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2"})
"""RFC 2557 MIME and XML encoding, both retired: nothing that C-STORE could bring."""

_FIRST: Final = (
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    "1.2.840.10008.1.2.1.98",  # Encapsulated Uncompressed
    "1.2.840.10008.1.2.1.99",  # Deflated
    "1.2.840.10008.1.2.4.70",  # the JPEG lossless that everybody writes
)
_LAST: Final = (PAPYRUS, GE_PRIVATE, EXPLICIT_VR_BIG_ENDIAN)
_CODINGS: Final = (
    Family.JPEG_LOSSLESS,
    Family.JPEG,
    Family.JPEG_LS,
    Family.JPEG_2000,
    Family.HTJ2K,
    Family.JPEG_XL,
    Family.RLE,
    Family.DEFLATED_FRAMES,
    Family.VIDEO,
    Family.NO_FRAMES,
    Family.JPIP,
)
"""Of two lossless or two lossy codings, the better known one first."""


def _rank(syntax: TransferSyntax) -> tuple[int, bool, int]:
    if syntax.family is Family.JPIP:
        group = 3  # the pixels are not in the object
    elif syntax.family in {Family.VIDEO, Family.NO_FRAMES}:
        group = 2
    elif syntax.family in {Family.JPEG, Family.JPEG_LOSSLESS} and syntax.viewer is Viewer.NEVER:
        group = 4  # the retired processes
    else:
        group = 0 if syntax.lossy is False else 1
    return group, syntax.viewer is Viewer.NEVER, _CODINGS.index(syntax.family)


DEFAULT_ORDER: Final = (
    *_FIRST,
    *(
        syntax.uid
        for syntax in sorted(
            (
                syntax
                for uid, syntax in TRANSFER_SYNTAXES.items()
                if uid not in _NO_DATA_SETS.union(_FIRST, _LAST)
            ),
            key=_rank,
        )
    ),
    *_LAST,
)


def preference(first: Iterable[str] = (), further: Iterable[str] = ()) -> tuple[str, ...]:
    """The accepted syntaxes, best first: ``first``, the default order, then ``further`` ones.

    ``further`` (private syntaxes of the settings) stand before big endian, which stays last
    unless a peer prefers it.
    """
    return tuple(dict.fromkeys((*first, *DEFAULT_ORDER[:-1], *further, DEFAULT_ORDER[-1])))
