"""TLS, logins and rights on a real broker, and what is said when one of them is missing."""

import time
from urllib.parse import quote

import pytest
import trustme

from dicom_pipeline.errors import ConfigurationError, PipelineError
from dicom_pipeline.event_log import Message
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline_tests.event_log.conftest import kafka_log
from dicom_pipeline_tests.event_log.test_contract import TOPIC, everything, publish
from dicom_pipeline_tests.services.kafka import PASSWORD, STRANGER

pytestmark = pytest.mark.service


@pytest.fixture
def logged_in(kafka, prefix):
    """Opens a log as a user of the listener with SASL over TLS."""

    def logged_in(*user, **options):
        return kafka_log(kafka.sasl_url(*user, topic_prefix=prefix, **options))

    return logged_in


def works(log):
    log.create_topics([TOPIC], 1)
    publish(log, 2)
    log.commit("group", TOPIC, 0, 1)
    assert log.committed("group", TOPIC) == {0: 1}
    assert len(everything(log)) == 2
    return True


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-512"])
def test_a_user_logs_in_over_tls(logged_in, mechanism):
    with logged_in(sasl_mechanism=mechanism) as log:
        assert works(log)


def test_a_client_certificate_is_a_login_too(kafka, prefix):
    files = {"ca": kafka.ca_file, "certificate": kafka.client_file, "key": kafka.client_file}
    query = "&".join(f"{name}={quote(str(path))}" for name, path in files.items())
    url = f"kafka+ssl://{kafka.tls_bootstrap}?{query}&topic_prefix={prefix}"
    with kafka_log(url) as log:
        assert works(log)


CALLS = {
    "publish": lambda log: log.publish([Message(TOPIC, "k", b"v")]),
    "topic_id": lambda log: log.topic_id(TOPIC),
    "watermarks": lambda log: log.watermarks(TOPIC),
    "read": lambda log: list(log.read(OffsetRange(TOPIC, "id", 0, 0, 1))),
    "timestamp": lambda log: log.timestamp(TOPIC, 0, 0),
    "commit": lambda log: log.commit("group", TOPIC, 0, 0),
    "committed": lambda log: log.committed("group", TOPIC),
    "trim": lambda log: log.trim(TOPIC, 0, 1),
    "create_topics": lambda log: log.create_topics(["new_queue"], 1),
}


@pytest.mark.parametrize("call", ["publish", "watermarks", "create_topics"])
def test_a_wrong_password_is_told_at_once_and_never_shown(logged_in, call):
    started = time.monotonic()
    with (
        logged_in("pipeline", "not-the-s3cret") as log,
        pytest.raises(ConfigurationError, match="correct user, password") as caught,
    ):
        CALLS[call](log)
    assert time.monotonic() - started < 8
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("call", CALLS)
def test_a_user_without_rights_is_told_what_to_ask_for(log, logged_in, call):
    log.create_topics([TOPIC], 1)
    with (
        logged_in(STRANGER, PASSWORD, sasl_mechanism="PLAIN") as strange,
        pytest.raises(ConfigurationError, match=r"give the user the right") as caught,
    ):
        CALLS[call](strange)
    assert PASSWORD not in str(caught.value)


def test_a_brokers_certificate_of_another_authority_is_a_wrong_setting(kafka, tmp_path):
    trustme.CA().cert_pem.write_to_path(tmp_path / "other.pem")
    with (
        kafka_log(kafka.sasl_url(ca=tmp_path / "other.pem")) as log,
        pytest.raises(ConfigurationError, match="certificate"),
    ):
        log.watermarks(TOPIC)


@pytest.mark.parametrize("port", ["tls", "sasl"])
def test_speaking_plainly_to_a_tls_port_ends_in_time(kafka, port):
    with (
        kafka_log(f"kafka://{getattr(kafka, f'{port}_bootstrap')}?timeout_seconds=2") as log,
        pytest.raises(PipelineError, match="EVENT_LOG_URL"),
    ):
        log.watermarks(TOPIC)
