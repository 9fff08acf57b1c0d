"""What a person does with the routine load, against real Kafka and the double."""

import json
from contextlib import contextmanager
from urllib.parse import quote

import pytest
from confluent_kafka.admin import NewPartitions

from dicom_pipeline.cli.network import free_port
from dicom_pipeline.errors import ConfigurationError, PermanentError
from dicom_pipeline.event_log import Message
from dicom_pipeline.messages import LOG_QUEUE, encode
from dicom_pipeline.routine_load.opening import open_routine_load
from dicom_pipeline.routine_load.state import Code, State
from dicom_pipeline.routine_load.statements import Start
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.events import an_event
from dicom_pipeline_tests.routine_load.conftest import PARTITIONS, QUEUES, World, trace
from dicom_pipeline_tests.services.doris.errors import DorisError
from dicom_pipeline_tests.services.doris.statements import form
from dicom_pipeline_tests.services.kafka import PASSWORD

pytestmark = pytest.mark.service


@contextmanager
def refusing(cluster, statement):
    """Statements that begin so are refused, until left."""

    def refuse(session, match):
        raise DorisError("no")

    cluster.forms.insert(0, (form(f"{statement} .+"), refuse))
    try:
        yield
    finally:
        del cluster.forms[0]


def test_it_loads_what_was_published_before_it_and_after_it(world):
    world.publish(range(3))
    assert "created from OFFSET_BEGINNING" in world.load.create()
    world.wait_until_read()
    world.publish(range(3, 6), accession_number="检查号", findings=("odd", "very odd"))
    world.wait_until_read()
    assert world.receipts() == [trace(number) for number in range(6)]
    (row,) = world.warehouse.query(
        "SELECT created_time, row_version, findings FROM dicom_object_meta WHERE trace_id = :id",
        id=trace(5),
    )
    assert row == {
        "created_time": "2026-01-31T12:00:00.000001Z",
        "row_version": 1_769_860_800_000_001 * 1024,
        "findings": "odd\nvery odd",
    }


def test_created_twice_it_is_there_once(world):
    world.load.create()
    assert "is there already" in world.load.create()
    assert len(world.load.all()) == 1


def test_its_properties_are_those_of_the_seed_where_they_are_sound(world):
    world.load.create()
    shown = world.state().properties
    wanted = {
        "desired_concurrent_number": "3",
        "max_batch_rows": "300000",
        "max_batch_size": "209715200",
        "format": "json",
        "strict_mode": "true",
        "timezone": "UTC",
        "max_error_number": "0",
        "max_filter_ratio": "1.0",
    }
    assert {name: shown[name] for name in wanted} == wanted
    assert json.loads(shown["jsonpaths"])[0] == "$.trace_id"
    assert world.load.deviations(world.state()) == {}


def test_it_reads_every_partition(world):
    world.load.create()
    world.wait_until_read()
    assert sorted(world.state().progress) == list(range(PARTITIONS))


def test_paused_it_stands_still_and_resumed_it_goes_on(world):
    world.load.create()
    world.wait_until_read()
    world.load.pause()
    assert "paused already" in world.load.pause()
    assert world.state().reason.code == Code.MANUAL_PAUSE
    world.publish(range(4))
    assert world.receipts() == []
    world.load.resume()
    assert "is not paused" in world.load.resume()
    world.wait_until_read()
    assert len(world.receipts()) == 4


def test_altered_it_runs_again_with_the_new_property(world):
    world.load.create()
    world.wait_for_state(State.RUNNING)
    assert "max_batch_interval = 7" in world.load.alter({"max_batch_interval": "7"})
    world.wait_for_state(State.RUNNING)
    assert world.state().properties["max_batch_interval"] == "7"
    assert "max_batch_interval = 1" in world.load.alter()
    assert "has the properties of the settings" in world.load.alter()


def test_what_was_paused_stays_paused_when_it_is_altered(world):
    world.load.create()
    world.load.pause()
    world.load.alter({"max_error_number": "5"})
    assert world.state().state is State.PAUSED


def test_after_a_failed_alteration_it_is_as_it_was(world):
    world.load.create()
    world.wait_until_read()
    with pytest.raises(ConfigurationError, match="from 200000"):
        world.load.alter({"max_batch_rows": "1"})
    with pytest.raises(ConfigurationError, match="cannot be altered by hand"):
        world.load.alter({"strict_mode": "false"})

    with refusing(world.cluster, "ALTER ROUTINE LOAD"), pytest.raises(PermanentError, match="no"):
        world.load.alter({"max_error_number": "5"})
    world.wait_for_state(State.RUNNING)
    assert world.state().properties["max_error_number"] == "0"


def test_one_that_was_created_for_other_columns_is_not_altered_but_recreated(world):
    world.load.create()
    (job,) = world.cluster.routine_loads.named(world.database, world.load.name)
    job.definition.properties["jsonpaths"] = '["$.trace_id", "$.created_time"]'
    assert "recreate it" in world.load.create()
    with pytest.raises(PermanentError, match="recreate it"):
        world.load.alter()
    world.load.recreate()
    assert not world.load.reads_other_columns(world.state())


@pytest.mark.parametrize("pins", [False, True])
def test_offsets_may_be_altered_and_no_partition_is_forgotten(world, pins):
    world.cluster.routine_loads.alter_pins = pins
    world.load.create()
    world.publish(range(8))
    world.wait_until_read()
    before = world.state().statistic.total_rows
    world.load.alter(offsets={0: 0})
    world.wait_until_read()
    assert world.state().statistic.total_rows > before
    assert sorted(world.state().progress) == list(range(PARTITIONS))
    assert len(world.receipts()) == 8
    with pytest.raises(ConfigurationError, match="does not read partition 9"):
        world.load.alter(offsets={9: 0})
    with pytest.raises(ConfigurationError, match="holds the offsets from 0"):
        world.load.alter(offsets={0: 1000})


def test_recreated_it_goes_on_where_it_stood(world):
    world.load.create()
    world.publish(range(8))
    world.wait_until_read()
    old = world.state()
    assert "created from 0:" in world.load.recreate()
    new = world.state()
    assert new.id > old.id
    world.publish(range(8, 12))
    world.wait_until_read()
    assert world.state().statistic.total_rows == 4
    assert len(world.receipts()) == 12


def test_stopped_and_created_it_goes_on_where_it_stood(world):
    world.load.create()
    world.publish(range(4))
    world.wait_until_read()
    world.load.stop()
    world.publish(range(4, 8))
    world.load.create()
    world.wait_until_read()
    assert world.state().statistic.total_rows == 4
    assert len(world.receipts()) == 8


def test_cut_off_between_stop_and_create_the_same_call_goes_on(world):
    world.load.create()
    world.publish(range(4))
    world.wait_until_read()
    with refusing(world.cluster, "CREATE ROUTINE LOAD"), pytest.raises(PermanentError, match="no"):
        world.load.recreate()
    assert world.load.find() is None
    world.load.recreate()
    world.wait_until_read()
    assert world.state().statistic.total_rows == 0


def test_forgotten_by_doris_it_goes_on_behind_what_was_accounted_for(world):
    world.load.create()
    world.publish(range(8))
    world.wait_until_read()
    for partition, offset in world.state().progress.items():
        world.log.commit("dicom-pipeline-object_meta", LOG_QUEUE, partition, offset)
    world.load.stop()
    world.cluster.routine_loads.forget(world.database)
    assert world.load.all() == []
    world.load.create()
    world.wait_until_read()
    assert world.state().statistic.total_rows == 0


def test_the_beginning_is_read_again_only_when_it_is_asked_for_by_name(world):
    world.load.create()
    world.publish(range(4))
    world.wait_until_read()
    world.load.recreate(Start.BEGINNING)
    world.wait_for(lambda: world.state().statistic.total_rows == 4)
    assert len(world.receipts()) == 4


def test_a_partition_that_was_added_is_read_from_its_first_message_after_recreation(world, kafka):
    world.load.create()
    world.wait_until_read()
    world.load.recreate()
    (added,) = kafka.admin().create_partitions([NewPartitions(world.load.topic, 3)]).values()
    added.result(10)
    world.wait_for(lambda: len(world.log.watermarks(LOG_QUEUE)) == 3)
    world.publish(range(40))
    world.load.recreate()
    world.wait_until_read()
    assert len(world.receipts()) == 40


def test_a_topic_that_was_created_anew_is_detected_and_nothing_is_stopped(world, kafka):
    world.load.create()
    world.wait_until_read()
    kafka.delete_topics(world.load.topic)
    world.log.create_topics(QUEUES, PARTITIONS)
    with pytest.raises(PermanentError, match="deleted and created again"):
        world.load.recreate()
    assert world.load.find() is not None
    world.publish(range(4))
    world.load.recreate(Start.BEGINNING)
    world.wait_until_read()
    assert len(world.receipts()) == 4


def test_while_kafka_is_away_it_pauses_and_resumes_by_itself(world, kafka):
    world.load.create()
    world.wait_until_read()
    (job,) = world.cluster.routine_loads.named(world.database, world.load.name)
    world.load.pause()
    job.definition.kafka["kafka_broker_list"] = f"127.0.0.1:{free_port('127.0.0.1')}"
    world.load.resume()
    world.wait_for_state(State.PAUSED)
    assert not world.state().stays_paused
    job.definition.kafka["kafka_broker_list"] = kafka.bootstrap
    world.publish(range(4))
    world.wait_until_read()
    assert len(world.receipts()) == 4


def test_over_tls_with_a_password_nobody_sees_the_password(
    tmp_path, cluster, database, kafka, capfd
):
    prefix = f"tls-{database}."
    settings = Settings(
        dicom_pipeline_home=tmp_path,
        event_log_url=kafka.sasl_url(topic_prefix=prefix),
        warehouse_url=cluster.url(database, max_batch_interval=1),
    )
    with open_routine_load(settings) as managed:
        managed.log.create_topics(QUEUES, 1)
        managed.warehouse.migrate()
        with pytest.raises(ConfigurationError, match=r"ca\.pem: bring them") as refused:
            managed.load.create()
        assert PASSWORD not in str(refused.value)
        cluster.routine_loads.files["ca.pem"] = kafka.ca_file
        managed.load.create()
        managed.log.publish([Message(LOG_QUEUE, "a", encode(an_event()))])
        World(settings, cluster, database, managed).wait_until_read()
        state = managed.load.require()
    assert state.statistic.loaded_rows == 1
    assert state.source["sasl.password"] == "******"
    said = repr(state) + "".join(capfd.readouterr())
    assert PASSWORD not in said
    assert quote(PASSWORD, safe="") not in said
