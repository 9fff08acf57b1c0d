"""What `status` knows, as metrics for the textfile collector of Prometheus' node exporter."""

from collections.abc import Iterable, Iterator
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from dicom_pipeline.cli.status import QueueStatus, Status

PREFIX: Final = "dicom_pipeline"

_QUEUES: Final = {
    "queue_lag_messages": "Messages of a queue that its stage has not processed.",
    "queue_lag_seconds": "Age of the oldest of them, those of abandoned ranges left out.",
    "queue_unfinished_ranges": "Ranges that are planned, running or waiting for another attempt.",
    "queue_abandoned_ranges": "Ranges that wait for an operator.",
}


def exposition(status: Status) -> str:
    """The metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(_Collector(status))
    return generate_latest(registry).decode()


class _Collector(Collector):
    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterable[GaugeMetricFamily]:
        status = self._status
        for name, meaning in _QUEUES.items():
            figures: dict[tuple[str, ...], float] = {
                (one.queue,): _figure(one, name) for one in status.queues
            }
            yield _family(name, meaning, ["queue"], figures)
        yield _family(
            "done",
            "What the stages have done, from the tables.",
            ["stage", "what"],
            {
                (stage, what): n
                for stage, found in status.counts.items()
                for what, n in found.items()
            },
        )
        yield _family(
            "failed_conversions",
            "Objects that cannot be shown, by error code.",
            ["error_code"],
            {(code,): number for code, number in status.failures.items()},
        )
        yield from self._single()

    def _single(self) -> Iterator[GaugeMetricFamily]:
        yield _family(
            "dead_letters",
            "Messages in dead_letter_queue.",
            [],
            {(): self._status.dead_letters},
        )
        yield _family(
            "outbox_events",
            "Events in the outboxes of this home that the event log does not have.",
            [],
            {(): self._status.receiver.outbox_events},
        )


def _figure(queue: QueueStatus, name: str) -> float:
    return {
        "queue_lag_messages": queue.lag_messages,
        "queue_lag_seconds": queue.lag_seconds,
        "queue_unfinished_ranges": len(queue.outstanding),
        "queue_abandoned_ranges": len(queue.abandoned),
    }[name]


def _family(
    name: str, meaning: str, labels: list[str], values: dict[tuple[str, ...], float]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", meaning, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family
