"""What is sent to Doris about the routine load."""

import pytest

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline.routine_load.properties import altered
from dicom_pipeline.routine_load.statements import (
    Start,
    comment,
    commented_topic_id,
    create,
    statements,
)
from dicom_pipeline.warehouse.doris.options import parse_options

OPTIONS = parse_options("doris://user:hush@fe:9030/imaging")
PASSWORD = "p:w@'\"\\x"
URL = "kafka+ssl://me:p%3Aw%40%27%22%5Cx@broker:9093?ca={ca}&topic_prefix=a."


@pytest.fixture
def kafka(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.write_text("")
    return KafkaUrl.parse(URL.format(ca=ca))


def test_passwords_are_parameters_and_stand_in_no_statement(kafka):
    sql, parameters = create(OPTIONS, kafka, "T", Start.BEGINNING)
    assert PASSWORD in parameters.values()
    assert PASSWORD not in sql
    assert '"property.sasl.password" = :secret_0' in sql
    assert PASSWORD not in "".join(statements(OPTIONS, kafka))


def test_security_goes_along_and_files_are_those_of_doris(kafka):
    sql, _ = create(OPTIONS, kafka, "T", Start.BEGINNING)
    for item in (
        '"kafka_broker_list" = "broker:9093"',
        '"kafka_topic" = "a.log_queue"',
        '"property.security.protocol" = "SASL_SSL"',
        '"property.ssl.ca.location" = "FILE:ca.pem"',
        '"property.group.id" = "a.dicom-pipeline-object_meta-doris"',
    ):
        assert item in sql


def test_doris_may_reach_the_brokers_by_other_addresses(kafka):
    options = parse_options("doris://u:p@fe:9030/db?kafka_broker_list=inside:1,inside:2")
    assert '"kafka_broker_list" = "inside:1,inside:2"' in create(options, kafka, "T", {0: 1}).sql


def test_offsets_and_a_start_by_name_exclude_each_other(kafka):
    by_offset = create(OPTIONS, kafka, "T", {1: 7, 0: 12}).sql
    assert '"kafka_partitions" = "0,1"' in by_offset
    assert '"kafka_offsets" = "12,7"' in by_offset
    assert "kafka_default_offsets" not in by_offset
    by_name = create(OPTIONS, kafka, "T", Start.END).sql
    assert '"property.kafka_default_offsets" = "OFFSET_END"' in by_name
    assert "kafka_partitions" not in by_name


def test_the_comment_keeps_the_id_of_the_topic():
    assert commented_topic_id(comment("T")) == "T"
    assert commented_topic_id("somebody's own") is None


@pytest.mark.parametrize(
    "asked", [{"format": "csv"}, {"max_batch_rows": "199999"}, {"max_error_number": "-1"}]
)
def test_what_may_not_be_altered_is_refused(asked):
    with pytest.raises(ConfigurationError):
        altered(asked)
