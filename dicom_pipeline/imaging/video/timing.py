"""When the frames of a video are shown: its rate, and time stamps for an elementary stream."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Final

from pydicom.dataset import Dataset

from dicom_pipeline.imaging.video.tools import TICKS, Packet

DEFAULT_RATE: Final = Fraction(25)
"""Frames a second where neither the object nor the stream says."""
_STANDARD_RATES: Final = (
    *map(Fraction, (24, 25, 30, 50, 60)),
    *(Fraction(rate, 1001) for rate in (24_000, 30_000, 60_000)),
)
_ROUNDING: Final = Fraction(1, 500)
"""A rate that is nearer to a standard one than this part of it has only been rounded."""
_SENSIBLE: Final = (Fraction(1, 10), Fraction(1000))
_MS: Final = 1000


def frame_rate(dataset: Dataset, own: Fraction | None) -> Fraction:
    """Frames a second of an elementary stream: as the object says, else as the stream does.

    Args:
        dataset: its Cine attributes are asked (PS3.3 C.7.6.5).
        own: what the stream says.
    """
    for keyword, to_rate in _SOURCES:
        rate = _said(dataset, keyword, to_rate)
        if rate is not None:
            return rate
    return _usable(own) or DEFAULT_RATE


def _of_times(times: Sequence[Fraction]) -> Fraction:
    """Rate of frames that are so many ms apart: FrameTimeVector begins with a 0 (C.7.6.5.1.2)."""
    later = times[1:]
    return Fraction(_MS * len(later)) / sum(later)


_SOURCES: Final[tuple[tuple[str, Callable[[Sequence[Fraction]], Fraction]], ...]] = (
    ("FrameTime", lambda values: _MS / values[0]),
    ("CineRate", lambda values: values[0]),
    ("RecommendedDisplayFrameRate", lambda values: values[0]),
    ("FrameTimeVector", _of_times),
)


def _said(
    dataset: Dataset, keyword: str, to_rate: Callable[[Sequence[Fraction]], Fraction]
) -> Fraction | None:
    try:
        value = dataset.get(keyword)
        values = [value] if isinstance(value, (int, float, str)) else list(value or ())
        return _usable(to_rate([Fraction(str(one).strip()) for one in values]))
    except (ValueError, TypeError, IndexError, ArithmeticError, NotImplementedError):
        return None  # an attribute that makes no sense says nothing


def _usable(rate: Fraction | None) -> Fraction | None:
    if rate is None or not _SENSIBLE[0] <= rate <= _SENSIBLE[1]:
        return None
    nearest = min(_STANDARD_RATES, key=lambda standard: abs(standard - rate))
    if abs(nearest - rate) <= nearest * _ROUNDING:
        return nearest
    return rate.limit_denominator(1001)


def time_stamps(
    packets: Sequence[Packet], shown: Sequence[int], rate: Fraction
) -> list[tuple[int, int]] | None:
    """Presentation and decoding time of each packet in 1/90,000 s; None if they are not one to one.

    A picture may be coded as two fields in two packets, or not be shown at all.

    Args:
        packets: in the order of coding.
        shown: positions of the packets in the order in which their pictures are shown.
        rate: frames a second.
    """
    rank = {position: number for number, position in enumerate(shown)}
    if len(rank) != len(shown) or rank.keys() != {packet.position for packet in packets}:
        return None
    ranks = [rank[packet.position] for packet in packets]
    delay = max((number - shown_as for number, shown_as in enumerate(ranks)), default=0)
    later = math.ceil(delay * TICKS / rate)
    # Rounded down: a player that seeks to the time of a frame must not show the one before it.
    return [
        (math.floor(shown_as * TICKS / rate) + later, math.floor(number * TICKS / rate))
        for number, shown_as in enumerate(ranks)
    ]
