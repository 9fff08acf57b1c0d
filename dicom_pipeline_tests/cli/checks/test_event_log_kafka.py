"""The event log on a real Kafka, as the doctor sees it."""

import socket
import time

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from dicom_pipeline.cli.checks import kafka as kafka_checks
from dicom_pipeline.cli.checks.bounds import bounded
from dicom_pipeline.cli.checks.check import Verdict
from dicom_pipeline.cli.checks.doctor import SYSTEMS
from dicom_pipeline.cli.network import free_port
from dicom_pipeline.event_log import Message, open_event_log
from dicom_pipeline.messages import ALL_QUEUES, LOG_QUEUE
from dicom_pipeline_tests.cli.checks.looking import found, settings_in
from dicom_pipeline_tests.services.kafka import PASSWORD, STRANGER

SYSTEM = "event log"

pytestmark = pytest.mark.service


@pytest.fixture
def chosen(tmp_path, kafka_url):
    settings = settings_in(tmp_path, event_log_url=kafka_url)
    with open_event_log(settings) as log:
        log.create_topics(ALL_QUEUES, 1)
        log.publish([Message(LOG_QUEUE, "key", b"value")])
    return settings


def name_of(queue, settings) -> str:
    return f"{settings.event_log_url.rpartition('=')[2]}{queue}"


def test_topics_as_they_are_created_are_all_right(chosen):
    done = found(chosen, SYSTEM)
    assert {"reachable", "version", "schema", "rights", "clock"} == set(done)
    assert [one for one in done.values() if one.verdict is not Verdict.OK] == []


def test_missing_topics_fail_say_to_migrate_and_are_not_created(tmp_path, kafka, kafka_url):
    settings = settings_in(tmp_path, event_log_url=kafka_url)
    schema = found(settings, SYSTEM)["schema"]
    assert schema.verdict is Verdict.FAIL
    assert "migrate" in schema.remedy
    topics = kafka.admin().list_topics(timeout=10).topics
    assert not set(topics) & {name_of(queue, settings) for queue in ALL_QUEUES}


def test_a_compacted_topic_is_a_warning_that_names_it(chosen, kafka):
    entry = ConfigEntry("cleanup.policy", "compact", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(
        ResourceType.TOPIC, name_of(LOG_QUEUE, chosen), incremental_configs=[entry]
    )
    admin = kafka.admin()
    (future,) = admin.incremental_alter_configs([resource]).values()
    future.result(10)
    deadline = time.monotonic() + 10
    while (schema := found(chosen, SYSTEM)["schema"]).verdict is Verdict.OK:
        assert time.monotonic() < deadline
    assert schema.verdict is Verdict.WARN
    assert "cleanup.policy=compact" in schema.found


def test_a_login_without_rights_and_a_wrong_one_fail_without_their_password(
    tmp_path, chosen, kafka
):
    prefix = chosen.event_log_url.rpartition("=")[2]
    for user, password in ((STRANGER, PASSWORD), ("pipeline", "wr0ng-password")):
        url = kafka.sasl_url(user, password, sasl_mechanism="PLAIN", topic_prefix=prefix)
        settings = settings_in(tmp_path, event_log_url=url)
        done = list(bounded(SYSTEM, SYSTEMS[SYSTEM], settings))
        assert done[-1].verdict is Verdict.FAIL
        assert password not in str(done)


def test_what_takes_connections_and_answers_nothing_fails_within_its_time(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        frozen = settings_in(tmp_path, event_log_url=f"kafka://127.0.0.1:{port}")
        started = time.monotonic()
        done = list(bounded(SYSTEM, SYSTEMS[SYSTEM], frozen, seconds=2))
        assert time.monotonic() - started < 8
        assert done[-1].verdict is Verdict.FAIL


def test_a_broker_that_is_away_fails_at_once(tmp_path):
    away = settings_in(tmp_path, event_log_url=f"kafka://127.0.0.1:{free_port('127.0.0.1')}")
    started = time.monotonic()
    (dead,) = bounded(SYSTEM, SYSTEMS[SYSTEM], away)
    assert time.monotonic() - started < 5
    assert dead.verdict is Verdict.FAIL
    assert "EVENT_LOG_URL" in dead.remedy


def test_a_message_from_the_future_tells_of_a_wrong_clock(chosen, monkeypatch):
    hour = 3_600_000_000
    monkeypatch.setattr(kafka_checks, "wall_clock_us", lambda: time.time_ns() // 1000 - hour)
    clock = found(chosen, SYSTEM)["clock"]
    assert clock.verdict is Verdict.FAIL
    assert "ahead" in clock.found


def test_a_wrong_url_fails_without_being_repeated(tmp_path):
    url = "kafka://u:s3cret@host:9092?teapot=1"
    done = found(settings_in(tmp_path, event_log_url=url), SYSTEM)
    assert done["configuration"].verdict is Verdict.FAIL
    assert "s3cret" not in str(done)
