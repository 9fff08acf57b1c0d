"""What the receiver counts and measures, for Prometheus. ``docs/metrics.md`` lists it all.

No label holds anything a sender has chosen: tenants come from the file of peers, everything else
from the tables below.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final, Literal, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Info,
    ProcessCollector,
)
from prometheus_client.core import Metric

from dicom_pipeline import __version__
from receiver.gauges import PREFIX, GaugeCollector, Gauges
from receiver.phase_times import PhaseTimes
from receiver.statuses import Status

Phase = Literal["receive", "write", "sync", "finish"]
"""From the first PDU to the last; to the file system; to the disk; from there to the outbox."""

AssociationResult = Literal[
    "released",
    "aborted_by_peer",
    "connection_lost",
    "protocol_error",
    "idle",
    "timeout",
    "limit",
    "stopped",
]
"""How an association that was accepted has ended."""

Rejection = Literal[
    "not_authorised",
    "too_many_associations",
    "too_many_connections",
    "request_timeout",
    "proxy_header",
    "tls",
    "invalid_request",
]
"""Why there was no association: the first two were told by an A-ASSOCIATE-RJ."""

RequestResult = Literal["taken", "refused"]
"""What an N-ACTION was answered."""

Safety = Literal["safe", "not_safe"]
"""What a storage commitment report says of an object."""

ReportResult = Literal["delivered", "given_up"]
"""What became of a storage commitment report."""

UNKNOWN_TENANT: Final = "?"
"""Stands for every tenant that the configuration did not name: no tenant can be called so."""

# fmt: off
_BUCKETS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
)
# fmt: on
"""Seconds: from a small object in memory to a disk that stalls."""


class Metrics:
    """One receiver process's metrics, in a registry of their own. All methods are thread-safe."""

    def __init__(self, tenants: Iterable[str] = ()) -> None:
        """``tenants``: those of the file of peers; any other counts as `UNKNOWN_TENANT`."""
        self._registry = registry = CollectorRegistry()
        names = sorted({*tenants, UNKNOWN_TENANT})
        objects = Counter(
            f"{PREFIX}_objects",
            "C-STORE requests answered, by the status of the answer.",
            ("tenant", "status"),
            registry=registry,
        )
        self._objects = {
            tenant: {status: objects.labels(tenant, status.name).inc for status in Status}
            for tenant in names
        }
        received = Counter(
            f"{PREFIX}_object_bytes",
            "Bytes of the data sets of these requests.",
            ("tenant",),
            registry=registry,
        )
        self._bytes = {tenant: received.labels(tenant).inc for tenant in names}
        duplicates = Counter(
            f"{PREFIX}_duplicates",
            "Objects taken whose very bytes were stored before.",
            ("tenant",),
            registry=registry,
        )
        self._duplicates = {tenant: duplicates.labels(tenant).inc for tenant in names}
        phases = PhaseTimes(get_args(Phase), _BUCKETS)
        registry.register(phases)
        self.phases: Mapping[str, Callable[[float], None]] = phases.observers
        """To be called with the seconds that one object took in a phase."""
        self._open = Gauge(
            f"{PREFIX}_associations_open",
            "Associations that stand.",
            registry=registry,
        )
        ended = Counter(
            f"{PREFIX}_associations",
            "Associations that have ended, by how they did.",
            ("result",),
            registry=registry,
        )
        self._ended = {each: ended.labels(each).inc for each in get_args(AssociationResult)}
        rejections = Counter(
            f"{PREFIX}_rejections",
            "Connections and association requests that were turned away, by reason.",
            ("reason",),
            registry=registry,
        )
        self._rejections = {each: rejections.labels(each).inc for each in get_args(Rejection)}
        self._published = Counter(
            f"{PREFIX}_published_events",
            "Events that the event log has taken from the outbox.",
            registry=registry,
        )
        self._publish_failures = Counter(
            f"{PREFIX}_publish_failures",
            "Failed attempts to publish events.",
            registry=registry,
        )
        self._refused = Counter(
            f"{PREFIX}_refused_events",
            "Events that a queue did not take for good: they are in dead_letter_queue.",
            registry=registry,
        )
        self._last_published = Gauge(
            f"{PREFIX}_publish_last_success_timestamp_seconds",
            "When events were last published (0: not since the start).",
            registry=registry,
        )
        requests = Counter(
            f"{PREFIX}_commitment_requests",
            "Storage commitment requests, by what they were answered.",
            ("result",),
            registry=registry,
        )
        self._requests = {each: requests.labels(each).inc for each in get_args(RequestResult)}
        committed = Counter(
            f"{PREFIX}_commitment_objects",
            "Objects that storage commitment was asked for, by what was found.",
            ("result",),
            registry=registry,
        )
        self._committed = {each: committed.labels(each).inc for each in get_args(Safety)}
        reports = Counter(
            f"{PREFIX}_commitment_reports",
            "Storage commitment reports, by what became of them.",
            ("result",),
            registry=registry,
        )
        self._reports = {each: reports.labels(each).inc for each in get_args(ReportResult)}
        Info(f"{PREFIX}_build", "Version of the program.", registry=registry).info(
            {"version": __version__}
        )
        ProcessCollector(registry=registry)

    def watch(self, gauges: Gauges) -> None:
        """Read these as well from now on; to be called once."""
        self._registry.register(GaugeCollector(gauges))

    def collect(self) -> Iterator[Metric]:
        """Everything, as prometheus_client's encoders ask for it.

        Without the time at which each series began: it would double their number.
        """
        for metric in self._registry.collect():
            metric.samples = [each for each in metric.samples if not each.name.endswith("_created")]
            yield metric

    def object_received(self, tenant: str, status: Status, size: int) -> None:
        """A C-STORE request was answered; ``size``: bytes of its data set."""
        if tenant not in self._bytes:
            tenant = UNKNOWN_TENANT
        self._objects[tenant][status]()
        self._bytes[tenant](size)

    def duplicate_found(self, tenant: str) -> None:
        """An object's very bytes were stored before."""
        self._duplicates[tenant if tenant in self._duplicates else UNKNOWN_TENANT]()

    def association_opened(self) -> None:
        """An association was accepted; `association_ended` must follow."""
        self._open.inc()

    def association_ended(self, result: AssociationResult) -> None:
        """An association that was accepted is over."""
        self._open.dec()
        self._ended[result]()

    def rejected(self, reason: Rejection) -> None:
        """A connection or an association request was turned away."""
        self._rejections[reason]()

    def events_published(self, events: int) -> None:
        """The event log has taken ``events`` from the outbox just now."""
        self._published.inc(events)
        self._last_published.set_to_current_time()

    def publish_failed(self) -> None:
        """The event log did not take what the outbox holds."""
        self._publish_failures.inc()

    def event_refused(self) -> None:
        """A queue of the event log will never take an event."""
        self._refused.inc()

    def commitment_requested(self, status: int) -> None:
        """A storage commitment request (N-ACTION) was answered with ``status``."""
        self._requests["refused" if status else "taken"]()

    def commitment_evaluated(self, good: int, failed: int) -> None:
        """So many objects of a request were found safe, and so many not."""
        self._committed["safe"](good)
        self._committed["not_safe"](failed)

    def commitment_reported(self, delivered: bool) -> None:  # noqa: FBT001 - a hook's signature
        """A report (N-EVENT-REPORT) was delivered, or given up."""
        self._reports["delivered" if delivered else "given_up"]()
