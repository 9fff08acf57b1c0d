"""Value representations by how an element's header is written (PS3.5 7.1.2)."""

from typing import Final

LONG_VRS: Final = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
"""Explicit VR: two reserved bytes and a length of 32 bits; the others have a length of 16 bits."""

SHORT_VRS: Final = frozenset(
    b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split()
)
"""The others."""
