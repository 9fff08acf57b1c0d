"""The histogram of the phases of a receipt, observed four times for each object.

prometheus_client's own takes several times as long, which is felt at thousands of objects a second.
"""

import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from receiver.gauges import PREFIX


class _Times:
    """One phase's observations."""

    def __init__(self, buckets: int) -> None:
        self.lock = threading.Lock()
        self.counts = [0] * (buckets + 1)
        """By the least bucket that holds them; the last one has no upper bound."""
        self.sum = 0.0


class PhaseTimes(Collector):
    """Seconds by phase."""

    def __init__(self, phases: Sequence[str], buckets: Sequence[float]) -> None:
        """``buckets``: their upper bounds, inclusive, ascending."""
        self._buckets = buckets
        self._times = {phase: _Times(len(buckets)) for phase in phases}
        self.observers: dict[str, Callable[[float], None]] = {
            phase: partial(self._observe, times) for phase, times in self._times.items()
        }
        """To be called with seconds, by phase."""

    def _observe(self, times: _Times, seconds: float) -> None:
        bucket = bisect_left(self._buckets, seconds)
        with times.lock:
            times.counts[bucket] += 1
            times.sum += seconds

    def describe(self) -> Iterator[HistogramMetricFamily]:
        """Its name, without values."""
        yield self._family()

    def collect(self) -> Iterator[HistogramMetricFamily]:
        """Its present values."""
        family = self._family()
        bounds = [*map(floatToGoString, self._buckets), "+Inf"]
        for phase, times in self._times.items():
            with times.lock:
                counts, total = list(times.counts), times.sum
            family.add_metric(
                [phase], list(zip(bounds, accumulate(counts), strict=True)), sum_value=total
            )
        yield family

    def _family(self) -> HistogramMetricFamily:
        return HistogramMetricFamily(
            f"{PREFIX}_phase_seconds",
            "Time that one object took in each phase of its receipt.",
            labels=("phase",),
        )
