"""The double refuses of routine loads what Doris refuses: else it would let mistakes pass."""

import pytest

from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline.routine_load.statements import Start, create
from dicom_pipeline.warehouse.doris.adapter import DorisWarehouse
from dicom_pipeline.warehouse.doris.options import parse_options
from dicom_pipeline_tests.services.doris import DorisDouble
from dicom_pipeline_tests.services.doris.cluster import USER
from dicom_pipeline_tests.services.doris.errors import DorisError

KAFKA = KafkaUrl.parse("kafka://127.0.0.1:1")  # nobody listens there
NAME = "dicom_routine_load"


@pytest.fixture(scope="module")
def cluster():
    with DorisDouble() as cluster:
        yield cluster


@pytest.fixture
def database(cluster):
    database = cluster.new_database()
    with DorisWarehouse(cluster.url(database)) as warehouse:
        warehouse.migrate()
    yield database
    cluster.routine_loads.drop(database)
    cluster.catalog.drop(database)


@pytest.fixture
def run(cluster, database):
    return cluster.frontends[0].session(USER, database).run


@pytest.fixture
def statement(cluster, database):
    options = parse_options(cluster.url(database))
    return create(options, KAFKA, "T", Start.BEGINNING).sql


@pytest.mark.parametrize(
    ("written", "instead", "why"),
    [
        ('"max_batch_rows" = "300000"', '"max_batch_rows" = "199999"', "max_batch_rows"),
        ('"max_batch_size" = "209715200"', '"max_batch_size" = "1"', "max_batch_size"),
        ('"max_batch_interval" = "10"', '"max_batch_interval" = "0"', "max_batch_interval"),
        ('"max_error_number" = "0"', '"max_error_number" = "-1"', "max_error_number"),
        ('"max_filter_ratio" = "1.0"', '"max_filter_ratio" = "1.5"', "max_filter_ratio"),
        ('"strict_mode" = "true"', '"strict_mode" = "yes"', "strict_mode"),
        ('"strict_mode"', '"strickt_mode"', "invalid property"),
        ('"timezone" = "UTC"', '"timezone" = "Nowhere"', "time zone"),
        ('"format" = "json"', '"format" = "yaml"', "Format"),
        ('"jsonpaths" = "[', '"jsonpaths" = "', "jsonpaths"),
        ("    trace_id,\n", "    trace_id,\n    trace_id,\n", "Duplicate column"),
        ("row_version = ", "row_verzion = ", "not found in table"),
        ("ON dicom_object_meta", "ON dicom_object_metta", "unknown table"),
        ('"kafka_topic"', '"kafka_topik"', "invalid kafka property"),
        ('"kafka_broker_list" = "127.0.0.1:1",', "", "kafka_broker_list is a required"),
        (
            '"property.kafka_default_offsets"',
            '"kafka_partitions" = "0", "kafka_offsets" = "1", "property.kafka_default_offsets"',
            "Only one of",
        ),
        (
            '"property.kafka_default_offsets" = "OFFSET_BEGINNING"',
            '"kafka_partitions" = "0,1", "kafka_offsets" = "1"',
            "equals to offsets number",
        ),
        ('"property.group.id" = "', '"property.ssl.ca.location" = "FILE:', "does not exist"),
        ("FROM KAFKA", "FROM PULSAR", "mismatched input"),
        ("PROPERTIES (\n", "WITH (\n", "mismatched input"),
    ],
)
def test_a_mistake_in_the_creation_is_refused(run, statement, written, instead, why):
    assert written in statement
    with pytest.raises(DorisError, match=why):
        run(statement.replace(written, instead, 1))


def test_a_table_with_a_sequence_column_wants_it_among_the_columns(run, statement):
    lines = [line for line in statement.splitlines() if "row_version = " not in line]
    with pytest.raises(DorisError, match="sequence column"):
        run("\n".join(lines))


def test_a_name_is_used_once_until_it_is_stopped(run, statement):
    run(statement)
    with pytest.raises(DorisError, match="already used"):
        run(statement)
    run(f"STOP ROUTINE LOAD FOR {NAME}")
    run(statement)
    assert len(run(f"SHOW ALL ROUTINE LOAD FOR {NAME}").rows) == 2
    assert len(run(f"SHOW ROUTINE LOAD FOR {NAME}").rows) == 1


def test_only_what_is_paused_is_altered_and_only_partitions_that_are_read(run, statement):
    alter = f'ALTER ROUTINE LOAD FOR {NAME} PROPERTIES ("max_batch_interval" = "9")'
    offsets = 'FROM KAFKA ("kafka_partitions" = "0", "kafka_offsets" = "5")'
    run(statement)
    with pytest.raises(DorisError, match="PAUSED jobs"):
        run(alter)
    run(f"PAUSE ROUTINE LOAD FOR {NAME}")
    run(alter)
    with pytest.raises(DorisError, match="not in the consumed partitions"):
        run(f"ALTER ROUTINE LOAD FOR {NAME} {offsets}")


@pytest.mark.parametrize("verb", ["PAUSE", "RESUME", "STOP"])
def test_what_is_not_there_is_not_changed(run, verb):
    with pytest.raises(DorisError, match="not operable"):
        run(f"{verb} ROUTINE LOAD FOR {NAME}")


def test_a_state_is_not_entered_twice(run, statement):
    run(statement)
    run(f"PAUSE ROUTINE LOAD FOR {NAME}")
    with pytest.raises(DorisError, match="Could not transform"):
        run(f"PAUSE ROUTINE LOAD FOR {NAME}")


def test_what_nobody_knows_is_not_shown(run):
    with pytest.raises(DorisError, match="There is no job named"):
        run(f"SHOW ALL ROUTINE LOAD FOR {NAME}")
