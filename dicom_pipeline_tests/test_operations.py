"""What the operations documents and the alert rules name is there, in both languages alike."""

import re
from pathlib import Path

import pytest
import typer
import yaml
from prometheus_client.parser import text_string_to_metric_families

from dicom_pipeline.cli.app import app
from dicom_pipeline.cli.exposition import exposition
from dicom_pipeline.cli.status import AbandonedStatus, QueueStatus, ReceiverStatus, Status
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import STAGES
from dicom_pipeline.streams import Outstanding
from dicom_pipeline_tests.receiver.test_metrics import watching
from receiver.statuses import Status as ReceiverAnswer

DOCS = Path(__file__).parents[1] / "docs"
ENGLISH, CHINESE = "operations.md", "operations.zh-CN.md"
PAGES = {name: (DOCS / name).read_text(encoding="utf-8") for name in (ENGLISH, CHINESE)}
METRICS = (DOCS / "metrics.md").read_text(encoding="utf-8")
ALERTS = yaml.safe_load((DOCS / "monitoring/alerts.yml").read_text(encoding="utf-8"))
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
COMMANDS = typer.main.get_command(app).commands
OTHERS_METRICS = {"up", "node_textfile_mtime_seconds"}
"""Prometheus' own, and the node exporter's."""
WORDS = {
    *("and", "by", "on", "or", "unless"),
    *("count", "day_of_week", "delta", "deriv", "histogram_quantile", "hour", "increase"),
    *("min_over_time", "predict_linear", "rate", "sum", "time"),
    *("instance", "job", "le", "tenant", "version"),
}
"""What is no metric in an expression: functions, operators, labels."""


def headings(page):
    return re.findall(r"^#+", page, flags=re.MULTILINE)


def anchors(page):
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.*)$", page, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def code(page):
    return re.findall(r"```\n(.*?)```", page, flags=re.DOTALL)


def test_both_languages_have_the_same_sections_commands_and_tables():
    english, chinese = PAGES[ENGLISH], PAGES[CHINESE]
    assert headings(english) == headings(chinese)
    assert code(english) == code(chinese)
    for pattern in (r"^\|", r"^\d+\. ", r"^\*\*|^\d+\. \*\*"):
        rows = [re.findall(pattern, page, flags=re.MULTILINE) for page in (english, chinese)]
        assert len(rows[0]) == len(rows[1]), pattern
    spans = [sorted(set(re.findall(r"`([^`\n]+)`", page))) for page in (english, chinese)]
    assert spans[0] == spans[1]


@pytest.mark.parametrize("name", PAGES)
def test_every_link_leads_somewhere(name):
    for target in re.findall(r"\]\(([^)]+)\)", PAGES[name]):
        file, _, anchor = target.partition("#")
        path = DOCS / (file or name)
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), target


def documented_calls():
    found = re.findall(r"dicom-pipeline ([a-z-]+)([^`\n|&<>]*)", "\n".join(PAGES.values()))
    return sorted({(command, arguments.strip()) for command, arguments in found})


@pytest.mark.parametrize(("command", "arguments"), documented_calls())
def test_every_command_that_is_named_is_there_with_its_options(command, arguments):
    options = {name for parameter in COMMANDS[command].params for name in parameter.opts}
    assert set(re.findall(r"--[a-z-]+", arguments)) <= options


@pytest.mark.parametrize("name", PAGES)
def test_every_setting_that_is_named_is_there(name):
    named = set(re.findall(r"`([A-Z][A-Z_]+[A-Z])(?:=[^`]*)?`", PAGES[name]))
    placeholders = {"FILE", "COPY", "BACKUP", "TO", "TIME"}
    assert {one.lower() for one in named - placeholders} <= set(Settings.model_fields)


def test_every_alert_says_what_is_wrong_and_where_to_read_on():
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert set(rule["annotations"]) == {"summary", "description", "runbook"}
        page, _, anchor = rule["annotations"]["runbook"].partition("#")
        assert anchor in anchors(PAGES[page]), rule["alert"]


def test_every_alert_that_the_page_names_is_a_rule():
    named = set(re.findall(r"alert `(\w+)`", PAGES[ENGLISH]))
    assert named
    assert named <= {rule["alert"] for rule in RULES}


def sample_names():
    """What the receiver and `status` really tell, as Prometheus would store it."""
    metrics = watching()
    metrics.object_received("radiology", ReceiverAnswer.SUCCESS, 1)
    receiver = {sample.name for family in metrics.collect() for sample in family.samples}
    return receiver | set(told())


def told():
    return {
        sample.name: sample
        for family in text_string_to_metric_families(exposition(A_STATUS))
        for sample in family.samples
    }


A_STATUS = Status(
    receiver=ReceiverStatus(running=True, outbox_events=3),
    queues=[
        QueueStatus(
            queue=stage.queue,
            stage=stage.name,
            lag_messages=12,
            lag_seconds=4.5,
            outstanding=[Outstanding(partition=0, start=0, end=5)],
            abandoned=[AbandonedStatus("storage_queue:0:0-5", 8, "why")],
        )
        for stage in STAGES
    ],
    counts={"renditions": {"keep": 7}},
    failures={"decoder_error": 2},
    dead_letters=1,
)


def names_in(expression):
    """Metric names of an expression: words outside of strings, labels, durations and functions."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", bare)
    return set(re.findall(r"[a-z_][a-z_0-9]*", bare)) - WORDS


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_metric_of_a_rule_is_documented_and_really_told(rule):
    names = names_in(rule["expr"]) - OTHERS_METRICS
    for name in names:
        documented = name.removesuffix("_bucket")
        assert f"`{documented}`" in METRICS or f"`{documented.removesuffix('_info')}`" in METRICS
        assert name in sample_names()
    assert names or OTHERS_METRICS & names_in(rule["expr"])


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_value_of_a_label_in_a_rule_is_one_that_there_is(rule):
    for label, values in re.findall(r'(status|result|reason|phase)=~?"([^"]+)"', rule["expr"]):
        for value in values.split("|"):
            assert f"`{value}`" in METRICS, (label, value)


def test_what_status_tells_prometheus_are_its_figures():
    samples = told()
    assert samples["dicom_pipeline_dead_letters"].value == 1
    assert samples["dicom_pipeline_outbox_events"].value == 3
    assert samples["dicom_pipeline_queue_lag_seconds"].value == 4.5
    assert samples["dicom_pipeline_queue_abandoned_ranges"].labels == {"queue": STAGES[-1].queue}
    assert samples["dicom_pipeline_done"].labels == {"stage": "renditions", "what": "keep"}
    documented = set(re.findall(r"^\| `(dicom_pipeline_\w+)`", METRICS, flags=re.MULTILINE))
    assert documented == set(samples)


def test_the_example_of_the_scraping_uses_the_jobs_of_the_rules():
    config = yaml.safe_load((DOCS / "monitoring/prometheus.yml").read_text(encoding="utf-8"))
    assert config["rule_files"] == ["alerts.yml"]
    jobs = {job["job_name"] for job in config["scrape_configs"]}
    used = set(re.findall(r'job="([^"]+)"', " ".join(rule["expr"] for rule in RULES)))
    assert used <= jobs
