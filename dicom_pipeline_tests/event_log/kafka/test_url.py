"""How ``EVENT_LOG_URL`` is read."""

import pytest

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log import open_event_log
from dicom_pipeline.event_log.kafka import KafkaEventLog
from dicom_pipeline.event_log.kafka.topics import configuration
from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline.settings import Settings

SECRET = "s3cret"


def test_several_servers_are_named_and_the_port_may_be_left_out():
    url = KafkaUrl.parse("kafka://one:9093,two,[::1]:9094")
    assert url.bootstrap == "one:9093,two:9092,[::1]:9094"
    assert url.client()["security.protocol"] == "PLAINTEXT"


def test_user_and_password_are_percent_decoded():
    client = KafkaUrl.parse("kafka+ssl://us%40er:p%40ss%3Aw%2Fr%25d+@host?").client()
    assert client["security.protocol"] == "SASL_SSL"
    assert client["sasl.mechanism"] == "SCRAM-SHA-512"
    assert (client["sasl.username"], client["sasl.password"]) == ("us@er", "p@ss:w/r%d+")


def test_options_choose_how_topics_are_made_and_how_long_is_waited():
    url = KafkaUrl.parse(
        "kafka://host?topic_prefix=site.&replication=3&retention_hours=-1&compression=zstd"
        "&max_message_bytes=1000000&timeout_seconds=2.5&publish_seconds=7"
    )
    assert (url.topic_prefix, url.compression) == ("site.", "zstd")
    assert (url.timeout_seconds, url.publish_seconds) == (2.5, 7)
    assert configuration(url, 168) == {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "max.message.bytes": "1000000",
        "message.timestamp.type": "LogAppendTime",
        "min.insync.replicas": "2",
    }


def test_the_brokers_keep_messages_for_longer_than_the_stages_should_need():
    wanted = configuration(KafkaUrl.parse("kafka://host"), 24)
    assert wanted["retention.ms"] == str(4 * 24 * 3_600_000)
    assert "min.insync.replicas" not in wanted


def test_an_option_with_a_dot_is_librdkafkas():
    client = KafkaUrl.parse("kafka://host?socket.nagle.disable=true&debug.x=a+b").client()
    assert (client["socket.nagle.disable"], client["debug.x"]) == ("true", "a+b")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("redis://host", "begins with neither of kafka://, kafka"),
        ("host:9092", "begins with neither"),
        ("kafka://", "a server is not host:port"),
        ("kafka://host:x", "a server is not host:port"),
        ("kafka://one,,two", "a server is not host:port"),
        ("kafka://host/queue", "a server is not host:port"),
        (f"kafka://u:{SECRET}@ho st", "a server is not host:port"),
        (f"kafka://{SECRET}@host", "a user needs a password"),
        (f"kafka://:{SECRET}@host", "a user needs a password"),
        (f"kafka://u:{SECRET}@host?sasl_mechanism=NTLM", "sasl_mechanism is none of PLAIN"),
        ("kafka://host?sasl_mechanism=PLAIN", "needs user:password@"),
        ("kafka://host?ca=/ca.pem", r"ca is for kafka\+ssl:// only"),
        ("kafka+ssl://host?ca=/nowhere/ca.pem", "does not exist: /nowhere/ca.pem"),
        (f"kafka://u:{SECRET}@host?speed=high&a=1", "unknown option a, speed"),
        ("kafka://host?replication=1&replication=2", "given twice"),
        ("kafka://host?replication", "an option is not name=value"),
        ("kafka://host?replication=0", "option replication: not a whole number from 1"),
        ("kafka://host?replication=many", "option replication"),
        ("kafka://host?timeout_seconds=0", "option timeout_seconds"),
        ("kafka://host?compression=rar", "option compression: none of none, gzip"),
        ("kafka://host?topic_prefix=a/b", "option topic_prefix"),
        ("kafka://host?max_message_bytes=9", "option max_message_bytes"),
        (
            "kafka://host?enable.idempotence=false&group.id=x",
            "enable.idempotence, group.id cannot be changed",
        ),
    ],
)
def test_a_malformed_url_is_refused_without_being_shown(url, reason):
    with pytest.raises(ConfigurationError, match=f"EVENT_LOG_URL: .*{reason}") as caught:
        KafkaUrl.parse(url)
    assert SECRET not in str(caught.value)


def test_a_url_in_a_traceback_or_log_line_hides_the_password():
    assert SECRET not in repr(KafkaUrl.parse(f"kafka://user:{SECRET}@host?sasl.x={SECRET}"))


def test_the_setting_chooses_kafka_and_opening_connects_to_nobody(tmp_path):
    settings = Settings(
        _env_file=None, dicom_pipeline_home=tmp_path, event_log_url="kafka://127.0.0.1:1"
    )
    with open_event_log(settings) as log:
        assert isinstance(log, KafkaEventLog)


@pytest.mark.parametrize("option", ["no.such.property=1", "socket.timeout.ms=soon"])
def test_a_property_that_librdkafka_does_not_know_is_a_wrong_setting(option):
    url = KafkaUrl.parse(f"kafka://user:{SECRET}@host?{option}")
    with pytest.raises(ConfigurationError, match=option.partition("=")[0]) as caught:
        KafkaEventLog(url, 168)
    assert SECRET not in str(caught.value)


def test_another_system_in_the_setting_is_refused(tmp_path):
    settings = Settings(
        _env_file=None, dicom_pipeline_home=tmp_path, event_log_url=f"pulsar://u:{SECRET}@host"
    )
    with pytest.raises(ConfigurationError, match="kafka://") as caught:
        open_event_log(settings)
    assert SECRET not in str(caught.value)
