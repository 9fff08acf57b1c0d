"""What is read only when somebody asks for the metrics: the outbox, the disk, the certificate."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from receiver.failures import described
from receiver.outbox import Depth
from receiver.recent import Recent

logger = logging.getLogger(__name__)

PREFIX: Final = "dicom_receiver"


class Gauges(NamedTuple):
    """How to read them. Each is called at most once a second, from any thread, and may raise."""

    outbox: Callable[[], Depth]
    unfinished_receipts: Callable[[], int]
    """Objects whose file is on disk and whose event is not in the outbox yet."""
    free_bytes: Callable[[], int]
    """Of the storage root's file system."""
    min_free_bytes: int
    """RECEIVER_MIN_FREE_BYTES."""
    max_associations: int
    """RECEIVER_MAX_ASSOCIATIONS."""
    commitment: Callable[[], tuple[int, float]] | None = None
    """Storage commitment reports that wait, and the age of the oldest in seconds; None: no such
    service."""
    certificate_expiry: Callable[[], float] | None = None
    """Seconds since the epoch; None: no TLS."""


class _Family(NamedTuple):
    name: str
    meaning: str


_OUTBOX: Final = (
    _Family("outbox_events", "Events in the outbox that wait to be published."),
    _Family("outbox_age_seconds", "How long the oldest of them has waited."),
)
_UNFINISHED: Final = (
    _Family(
        "unfinished_receipts",
        "Objects whose file is on disk and whose event is not in the outbox yet.",
    ),
)
_DISK: Final = (
    _Family("storage_free_bytes", "Free space on the storage root."),
    _Family("disk_low", "1 while the free space is below its low-water mark, else 0."),
)
_LIMITS: Final = (
    _Family("storage_min_free_bytes", "The low-water mark of that space, RECEIVER_MIN_FREE_BYTES."),
    _Family("associations_max", "How many may stand at a time, RECEIVER_MAX_ASSOCIATIONS."),
)
_COMMITMENT: Final = (
    _Family("commitment_reports_waiting", "Storage commitment reports that are not delivered yet."),
    _Family("commitment_age_seconds", "How long ago the oldest of them was asked for."),
)
_EXPIRY: Final = (
    _Family("certificate_expiry_timestamp_seconds", "When the receiver's TLS certificate expires."),
)


class GaugeCollector(Collector):
    """Asks the callbacks at scrape time. What cannot be read is NaN, and told once in the log."""

    def __init__(self, gauges: Gauges) -> None:
        """Nothing is read before `collect`."""
        self._readings = list(_readings(gauges))

    def describe(self) -> Iterator[GaugeMetricFamily]:
        """The names, for the registry."""
        for reading in self._readings:
            yield from reading.names()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The values."""
        for reading in self._readings:
            yield from reading.families(reading.recent())


class _Reading:
    """The gauges that one callback gives the values of."""

    def __init__(
        self, families: Sequence[_Family], callback: Callable[[], Iterable[float]]
    ) -> None:
        self._families = families
        self._callback = callback
        self._unreadable = (math.nan,) * len(families)
        self._failing = False
        self.recent = Recent(self._read, busy=self._unreadable)

    def _read(self) -> tuple[float, ...]:
        try:
            values = tuple(self._callback())
        except Exception as error:  # noqa: BLE001 - whatever it is, the other metrics must go out
            if not self._failing:
                logger.warning(
                    "metric cannot be read",
                    extra={"metric": self._families[0].name, **described(error)},
                )
            self._failing = True
            return self._unreadable
        self._failing = False
        return values

    def families(self, values: Sequence[float | None]) -> Iterator[GaugeMetricFamily]:
        """The gauges with these values; None: without one."""
        for (name, meaning), value in zip(self._families, values, strict=True):
            yield GaugeMetricFamily(f"{PREFIX}_{name}", meaning, value=value)

    def names(self) -> Iterator[GaugeMetricFamily]:
        """The gauges, without reading anything."""
        return self.families([None] * len(self._families))


def _readings(gauges: Gauges) -> Iterator[_Reading]:
    low_water = gauges.min_free_bytes

    def disk() -> tuple[float, ...]:
        free = gauges.free_bytes()
        return free, float(free < low_water)

    yield _Reading(_OUTBOX, gauges.outbox)
    yield _Reading(_UNFINISHED, _one(gauges.unfinished_receipts))
    yield _Reading(_DISK, disk)
    yield _Reading(_LIMITS, lambda: (low_water, gauges.max_associations))
    if gauges.commitment is not None:
        yield _Reading(_COMMITMENT, gauges.commitment)
    if gauges.certificate_expiry is not None:
        yield _Reading(_EXPIRY, _one(gauges.certificate_expiry))


def _one(read: Callable[[], float]) -> Callable[[], tuple[float, ...]]:
    return lambda: (read(),)
