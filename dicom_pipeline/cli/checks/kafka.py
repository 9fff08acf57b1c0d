"""The event log on Kafka."""

from collections.abc import Iterator

from confluent_kafka import libversion

from dicom_pipeline.cli.checks import clocks
from dicom_pipeline.cli.checks.check import Check, Verdict, failure, ok, warning
from dicom_pipeline.cli.checks.reach import Address, reachable
from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log.kafka import KafkaEventLog
from dicom_pipeline.event_log.kafka.failures import Failures
from dicom_pipeline.event_log.kafka.requests import Requests
from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline.messages import ALL_QUEUES
from dicom_pipeline.settings import Settings


def check_kafka(system: str, settings: Settings) -> Iterator[Check]:
    """Brokers, topics, rights."""
    try:
        url = KafkaUrl.parse(settings.event_log_url)
    except ConfigurationError as error:
        yield failure(system, "configuration", str(error), "correct EVENT_LOG_URL")
        return
    reached = next(reachable(system, _addresses(url), "EVENT_LOG_URL"))
    yield reached
    if reached.verdict is Verdict.FAIL:
        return
    yield _cluster(system, url)
    with KafkaEventLog(url, settings.event_log_retention_hours) as log:
        yield from _topics(system, log, settings)


def _addresses(url: KafkaUrl) -> list[Address]:
    pairs = [server.rpartition(":") for server in url.bootstrap.split(",")]
    return [Address(host.strip("[]"), int(port)) for host, _, port in pairs]


def _cluster(system: str, url: KafkaUrl) -> Check:
    """Brokers do not tell their version; the client's bounds what it can speak."""
    requests = Requests(url, Failures())
    asked = requests.admin.describe_cluster(request_timeout=url.timeout_seconds)
    cluster = requests.answer(asked, "describing the cluster")
    found = f"{len(cluster.nodes)} brokers of cluster {cluster.cluster_id}"
    return ok(system, "version", f"{found}; librdkafka {libversion()[0]}")


def _topics(system: str, log: KafkaEventLog, settings: Settings) -> Iterator[Check]:
    deviations = log.deviations(ALL_QUEUES, settings.event_log_partitions)
    missing = [one for one in deviations if "does not exist" in one]
    if missing:
        remedy = "run `dicom-pipeline migrate`; `up` does it by itself"
        yield failure(system, "schema", "; ".join(missing), remedy)
        return
    if deviations:
        remedy = "change it with Kafka's own tools: topics that exist are never changed"
        yield warning(system, "schema", "; ".join(deviations), remedy)
    else:
        marks = [log.watermarks(queue) for queue in ALL_QUEUES]
        yield ok(system, "schema", f"{len(marks)} queues, {sum(map(len, marks))} partitions")
    lacking = log.missing_rights(ALL_QUEUES)
    if lacking:
        remedy = "grant them with kafka-acls (docs/kafka.md lists all rights)"
        yield failure(system, "rights", "; ".join(lacking), remedy)
    else:
        yield ok(system, "rights", "read, write and trim")
    yield _clock(system, log)


def _clock(system: str, log: KafkaEventLog) -> Check:
    """Brokers do not tell the time, but they stamp messages: none may be from the future."""
    newest = [
        stamp
        for queue in ALL_QUEUES
        for partition, (low, high) in log.watermarks(queue).items()
        if high > low and (stamp := log.timestamp(queue, partition, high - 1)) is not None
    ]
    ahead = (max(newest) - wall_clock_us()) / 1e6 if newest else 0.0
    if ahead > 0:
        return clocks.verdict(system, ahead)
    return ok(system, "clock", "no message is from the future; more the brokers do not tell")
