"""Where the elements of a data set lie, to find those of the next one in the same places."""

import struct
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

LONGEST: Final = 512
"""Headers of a layout at most: ordinary objects have about a hundred."""


class Header(NamedTuple):
    """The header of an element in explicit VR."""

    tag: int
    position: int
    value: int
    """Where the value begins."""
    length: int
    """Of the value."""


class Layout:
    """The headers of a data set, from its first element on without a gap.

    Each header tells where the next one is. So as far as another data set has the same bytes there,
    its elements are the same, but for their values.
    """

    def __init__(
        self, data_set: bytes | memoryview, headers: Sequence[Header], wanted: Sequence[Header]
    ) -> None:
        """``wanted``: those among ``headers`` whose values will be asked for."""
        self.headers = headers
        self._wanted = wanted
        self._tags = [each.tag for each in wanted]
        self._values = _fields((each.value, each.value + each.length) for each in wanted)
        self._bytes = _fields((each.position, each.value) for each in headers)
        self._expected = self._bytes.unpack_from(data_set)

    def common(self, data_set: bytes | memoryview) -> int:
        """How many headers, counted from the first, another data set has alike."""
        try:
            found = self._bytes.unpack_from(data_set)
        except struct.error:  # it ends before
            return 0
        if found == self._expected:
            return len(found)
        pairs = enumerate(zip(found, self._expected, strict=True))
        return next(number for number, (one, other) in pairs if one != other)

    def values(self, data_set: bytes | memoryview) -> dict[int, bytes]:
        """The wanted values of a data set that has all headers alike, by tag."""
        return dict(zip(self._tags, self._values.unpack_from(data_set), strict=True))

    def values_before(self, position: int, data_set: bytes | memoryview) -> dict[int, bytes]:
        """The wanted values of a data set that has the headers before ``position`` alike."""
        return {
            each.tag: bytes(data_set[each.value : each.value + each.length])
            for each in self._wanted
            if each.position < position
        }


def _fields(spans: Iterable[tuple[int, int]]) -> struct.Struct:
    """Bytes from one offset to another, again and again."""
    parts, end = [], 0
    for start, following in spans:
        parts.append(f"{start - end}x{following - start}s")
        end = following
    return struct.Struct("<" + "".join(parts))
