"""What the receiver counts can be read by Prometheus, and says what happened."""

import math
import re
import threading
from functools import partial
from pathlib import Path
from typing import get_args

import pytest
from prometheus_client import parser
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics import parser as openmetrics_parser

from receiver.gauges import Gauges
from receiver.metrics import AssociationResult, Metrics, Phase, Rejection
from receiver.outbox import Depth, Outbox
from receiver.recent import Recent
from receiver.statuses import Status

PAGE = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text(encoding="utf-8")


def gauges(**given):
    usual = {
        "outbox": lambda: Depth(3, 4.5),
        "unfinished_receipts": lambda: 2,
        "free_bytes": lambda: 1000,
        "min_free_bytes": 500,
        "max_associations": 32,
        "commitment": lambda: (7, 8.5),
        "certificate_expiry": lambda: 2e9,
    }
    return Gauges(**(usual | given))


def watching(**given):
    metrics = Metrics(["radiology"])
    metrics.watch(gauges(**given))
    return metrics


def own(families):
    """Without the metrics that every process has."""
    return [family for family in families if not family.name.startswith("process_")]


def value(metrics, name, **labels):
    (found,) = [
        sample.value
        for metric in metrics.collect()
        for sample in metric.samples
        if sample.name == f"dicom_receiver_{name}" and sample.labels == labels
    ]
    return found


def fails():
    raise OSError(5, "Input/output error")


def shown_name(metric):
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def test_an_object_counts_with_its_tenant_status_and_bytes():
    metrics = Metrics(["radiology"])
    metrics.object_received("radiology", Status.SUCCESS, 100)
    metrics.object_received("radiology", Status.NO_STUDY, 11)
    assert value(metrics, "objects_total", tenant="radiology", status="SUCCESS") == 1
    assert value(metrics, "objects_total", tenant="radiology", status="NO_STUDY") == 1
    assert value(metrics, "object_bytes_total", tenant="radiology") == 111


def test_tenants_that_the_configuration_does_not_name_share_one_series():
    metrics = Metrics(["radiology"])
    before = len(generate_latest(metrics).splitlines())
    for number in range(50):
        metrics.object_received(f"stranger{number}", Status.SUCCESS, 1)
        metrics.duplicate_found(f"stranger{number}")
    assert len(generate_latest(metrics).splitlines()) == before
    assert value(metrics, "objects_total", tenant="?", status="SUCCESS") == 50
    assert value(metrics, "duplicates_total", tenant="?") == 50


def test_every_series_of_a_counter_is_there_from_the_start():
    metrics = Metrics(["radiology"])
    for status in Status:
        assert value(metrics, "objects_total", tenant="radiology", status=status.name) == 0
    for reason in get_args(Rejection):
        assert value(metrics, "rejections_total", reason=reason) == 0


def test_two_receivers_in_one_process_count_apart():
    one, other = Metrics(), Metrics()
    one.publish_failed()
    assert value(one, "publish_failures_total") == 1
    assert value(other, "publish_failures_total") == 0


@pytest.mark.parametrize("result", get_args(AssociationResult))
def test_an_association_is_open_until_it_has_ended_somehow(result):
    metrics = Metrics()
    metrics.association_opened()
    metrics.association_opened()
    metrics.association_ended(result)
    assert value(metrics, "associations_open") == 1
    assert value(metrics, "associations_total", result=result) == 1


@pytest.mark.parametrize("phase", get_args(Phase))
def test_phases_add_up(phase):
    metrics = Metrics()
    metrics.phases[phase](0.002)
    metrics.phases[phase](20)
    assert value(metrics, "phase_seconds_count", phase=phase) == 2
    assert value(metrics, "phase_seconds_sum", phase=phase) == pytest.approx(20.002)
    assert value(metrics, "phase_seconds_bucket", phase=phase, le="0.001") == 0
    assert value(metrics, "phase_seconds_bucket", phase=phase, le="0.0025") == 1


def test_publishing_tells_how_much_and_when():
    metrics = Metrics()
    assert value(metrics, "publish_last_success_timestamp_seconds") == 0
    metrics.events_published(256)
    assert value(metrics, "published_events_total") == 256
    assert value(metrics, "publish_last_success_timestamp_seconds") > 1.7e9


def test_storage_commitment_is_counted_from_request_to_report():
    metrics = Metrics()
    for status in (0x0000, 0x0213, 0x0110):
        metrics.commitment_requested(status)
    metrics.commitment_evaluated(7, 2)
    metrics.commitment_reported(True)
    metrics.commitment_reported(False)
    metrics.commitment_reported(False)
    assert value(metrics, "commitment_requests_total", result="taken") == 1
    assert value(metrics, "commitment_requests_total", result="refused") == 2
    assert value(metrics, "commitment_objects_total", result="safe") == 7
    assert value(metrics, "commitment_objects_total", result="not_safe") == 2
    assert value(metrics, "commitment_reports_total", result="delivered") == 1
    assert value(metrics, "commitment_reports_total", result="given_up") == 2


@pytest.mark.parametrize("reason", get_args(Rejection))
def test_rejections_are_counted_by_reason(reason):
    metrics = Metrics()
    metrics.rejected(reason)
    assert value(metrics, "rejections_total", reason=reason) == 1


def test_counting_in_many_threads_loses_nothing():
    metrics = Metrics(["radiology"])

    def receive():
        for _ in range(2000):
            metrics.object_received("radiology", Status.SUCCESS, 2)

    threads = [threading.Thread(target=receive) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert value(metrics, "objects_total", tenant="radiology", status="SUCCESS") == 8000
    assert value(metrics, "object_bytes_total", tenant="radiology") == 16000


def test_gauges_are_read_when_asked_for():
    metrics = watching()
    assert value(metrics, "outbox_events") == 3
    assert value(metrics, "outbox_age_seconds") == 4.5
    assert value(metrics, "unfinished_receipts") == 2
    assert value(metrics, "storage_free_bytes") == 1000
    assert value(metrics, "storage_min_free_bytes") == 500
    assert value(metrics, "disk_low") == 0
    assert value(metrics, "associations_max") == 32
    assert value(metrics, "commitment_reports_waiting") == 7
    assert value(metrics, "commitment_age_seconds") == 8.5
    assert value(metrics, "certificate_expiry_timestamp_seconds") == 2e9


def test_an_outbox_gives_its_depth(tmp_path):
    outbox = Outbox(tmp_path / "outbox.db")
    try:
        metrics = watching(outbox=outbox.depth)
        assert value(metrics, "outbox_events") == 0
        assert value(metrics, "outbox_age_seconds") == 0
    finally:
        outbox.close()


def test_watching_reads_nothing_before_somebody_asks():
    calls = []
    watching(free_bytes=lambda: calls.append(1) or 1)
    assert not calls


def test_a_callback_is_not_asked_at_every_scrape():
    calls = []
    metrics = watching(outbox=lambda: calls.append(1) or Depth(1, 1.0))
    for _ in range(20):
        generate_latest(metrics)
    assert 1 <= len(calls) < 10


@pytest.mark.parametrize(("free", "low"), [(499, 1), (500, 0)])
def test_a_disk_is_low_below_its_mark(free, low):
    assert value(watching(free_bytes=lambda: free), "disk_low") == low


@pytest.mark.parametrize(
    ("callback", "names"),
    [
        ("outbox", ["outbox_events", "outbox_age_seconds"]),
        ("unfinished_receipts", ["unfinished_receipts"]),
        ("free_bytes", ["storage_free_bytes", "disk_low"]),
        ("commitment", ["commitment_reports_waiting", "commitment_age_seconds"]),
        ("certificate_expiry", ["certificate_expiry_timestamp_seconds"]),
    ],
)
def test_what_cannot_be_read_is_nan_and_all_else_is_told(callback, names, caplog):
    metrics = watching(**{callback: fails})
    for name in names:
        assert math.isnan(value(metrics, name))
    unreadable = [
        sample.name
        for metric in metrics.collect()
        for sample in metric.samples
        if math.isnan(sample.value)
    ]
    assert unreadable == [f"dicom_receiver_{name}" for name in names]
    assert [record.message for record in caplog.records] == ["metric cannot be read"]
    assert caplog.records[0].error == "OSError: Input/output error"


def test_the_log_tells_each_failure_to_read_once(monkeypatch, caplog):
    monkeypatch.setattr("receiver.gauges.Recent", partial(Recent, keep_seconds=0))
    away = [True, True, False, True]

    def free_bytes():
        return fails() if away.pop(0) else 1

    metrics = watching(free_bytes=free_bytes)
    told = []
    while away:
        generate_latest(metrics)
        told.append(len(caplog.records))
    assert told == [1, 1, 1, 2]


def test_the_process_tells_its_open_files():
    assert b"\nprocess_open_fds " in generate_latest(Metrics())


def test_no_series_is_doubled_by_its_time_of_birth():
    assert b"_created" not in generate_latest(Metrics())


def test_what_the_receiver_does_not_have_is_not_shown():
    text = generate_latest(watching(commitment=None, certificate_expiry=None)).decode()
    assert "certificate" not in text
    assert "commitment_age" not in text
    assert "outbox_events" in text


@pytest.mark.parametrize(
    ("encode", "parse"),
    [
        (generate_latest, parser.text_string_to_metric_families),
        (openmetrics.generate_latest, openmetrics_parser.text_string_to_metric_families),
    ],
)
def test_both_formats_say_all_of_it(encode, parse):
    metrics = watching(free_bytes=fails)
    metrics.object_received("radiology", Status.SUCCESS, 5)
    parsed = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in own(parse(encode(metrics).decode()))
        for sample in family.samples
    }
    shown = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in own(metrics.collect())
        for sample in family.samples
    }
    assert len(shown) > 80
    assert parsed == pytest.approx(shown, nan_ok=True)


def table():
    """The page's tables of metrics: name, type, labels and meaning."""
    rows = re.findall(
        r"^\| `(dicom_receiver_\w+)` \| (\w+) \|(.*?)\| (.*?) \|.*\|$", PAGE, flags=re.MULTILINE
    )
    return {
        name: (kind, set(re.findall(r"`(\w+)`", labels)), meaning)
        for name, kind, labels, meaning in rows
    }


def test_the_page_lists_every_metric_as_it_is_and_no_other():
    metrics = {
        shown_name(metric): (
            metric.type,
            {label for sample in metric.samples for label in sample.labels} - {"le"},
            metric.documentation,
        )
        for metric in own(watching().collect())
    }
    assert table() == metrics


def test_the_page_lists_every_value_of_a_label():
    rows = re.findall(r"^\| `(\w+)` of `(\w+)` \| (.*) \|$", PAGE, flags=re.MULTILINE)
    documented = {(name, label): re.findall(r"`(\w+)`", values) for label, name, values in rows}
    known = {}
    for metric in own(watching().collect()):
        for sample in metric.samples:
            for label in sample.labels.keys() - {"tenant", "le", "version"}:
                values = known.setdefault((shown_name(metric), label), [])
                if sample.labels[label] not in values:
                    values.append(sample.labels[label])
    assert documented == known
