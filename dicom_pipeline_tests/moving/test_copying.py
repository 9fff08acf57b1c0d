"""What a copying leaves in the target."""

import pytest

from dicom_pipeline.errors import ConfigurationError, MessageRefusedError
from dicom_pipeline.messages import (
    ALL_QUEUES,
    DEAD_LETTER_QUEUE,
    INDEX_QUEUE,
    STORAGE_QUEUE,
    decode_dead_letter,
)
from dicom_pipeline.moving import moved_systems
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import STAGES, STORAGE
from dicom_pipeline_tests.catalog.samples import rendition
from dicom_pipeline_tests.events import an_event
from dicom_pipeline_tests.moving.homes import (
    abandon,
    copy,
    copying,
    fill_tables,
    ledger_of,
    open_home,
    publish,
    publish_everywhere,
)
from receiver.outbox import Outbox


def done_with(home, count):
    """Ledgers of sensors whose runs have all succeeded."""
    return {stage.sensor_name: ledger_of(home, stage.queue, planned=count) for stage in STAGES}


def test_every_row_arrives_with_the_counts_of_its_children(source, target):
    fill_tables(source)
    report = copy(source, target.settings)
    assert report.good
    assert target.dump() == source.dump()
    assert {one.table: one.rows for one in report.tables}["catalog.instance"] == 40


def test_an_empty_home_is_copied_too(source, target):
    assert copy(source, target.settings).good
    assert not any(target.dump().values())


def test_copying_again_changes_no_row(source, target):
    fill_tables(source)
    copy(source, target.settings)
    assert copy(source, target.settings).good
    assert target.dump() == source.dump()


def test_a_newer_row_of_the_target_stays(source, target):
    fill_tables(source)
    target.catalog.record_renditions([rendition("1.4.3", version=900, action="fail")])
    report = copy(source, target.settings)
    assert report.good
    assert {one.table: one.newer for one in report.tables}["catalog.rendition"] == 1
    (row,) = target.catalog.query("SELECT action FROM rendition WHERE sop_uid = '1.4.3'")
    assert row["action"] == "fail"


def test_the_source_is_left_as_it_was(source, target):
    fill_tables(source)
    published = publish_everywhere(source, 5)
    before = source.dump()
    copy(source, target.settings)
    assert source.dump() == before
    assert {queue: source.values(queue) for queue in ALL_QUEUES} == published


def test_messages_that_a_stage_has_processed_are_not_published_again(source, target):
    published = publish_everywhere(source, 6)
    ledgers = done_with(source, 6)
    late = publish(source, INDEX_QUEUE, 2, start=6)
    assert copy(source, target.settings, ledgers).good
    assert target.values(STORAGE_QUEUE) == []
    assert sorted(target.values(INDEX_QUEUE)) == late
    assert sorted(target.values(DEAD_LETTER_QUEUE)) == published[DEAD_LETTER_QUEUE]


def test_unfinished_unplanned_and_abandoned_messages_are_published_once_each(source, target):
    values = publish(source, STORAGE_QUEUE, 20)
    ledger = ledger_of(source, STORAGE_QUEUE, planned=15, outstanding=[(3, 6), (10, 12)])
    abandon(source, STORAGE_QUEUE, 5, 8)
    abandon(source, STORAGE_QUEUE, 0, 1)
    report = copy(source, target.settings, {STORAGE.sensor_name: ledger})
    assert report.good
    expected = [values[0], *values[3:8], *values[10:12], *values[15:]]
    assert sorted(target.values(STORAGE_QUEUE)) == sorted(expected)
    assert target.catalog.abandoned() == []
    assert len(source.catalog.abandoned()) == 2


def test_messages_of_one_partition_keep_their_order(source, tmp_path):
    values = publish(source, STORAGE_QUEUE, 1200)
    settings = Settings(dicom_pipeline_home=tmp_path / "single")
    with open_home(settings) as single:
        assert copy(source, settings).good
        assert single.values(STORAGE_QUEUE) == values


def test_a_message_that_the_target_never_takes_is_set_aside_and_stops_nothing(source, target):
    values = publish(source, STORAGE_QUEUE, 4)
    with copying(source, target.settings) as begun:
        publish_them = begun._logs.target.publish

        def refuse_one(messages):
            if any(one.topic == STORAGE_QUEUE and one.value == values[1] for one in messages):
                raise MessageRefusedError("too large")
            publish_them(messages)

        begun._logs.target.publish = refuse_one
        report = begun.run()
    assert report.good
    assert sorted(target.values(STORAGE_QUEUE)) == [values[0], *values[2:]]
    (letter,) = map(decode_dead_letter, target.values(DEAD_LETTER_QUEUE))
    assert (letter.topic, letter.offset, letter.value) == (STORAGE_QUEUE, 1, values[1])


def test_without_a_ledger_or_with_one_of_another_topic_everything_is_pending(source, target):
    published = publish_everywhere(source, 4)
    foreign = ledger_of(source, INDEX_QUEUE, planned=4)
    ledgers = {STORAGE.sensor_name: foreign}
    assert copy(source, target.settings, ledgers).good
    for queue in ALL_QUEUES:
        assert sorted(target.values(queue)) == sorted(published[queue])


def test_a_range_whose_messages_are_gone_still_waits_for_an_operator(source, target):
    values = publish(source, STORAGE_QUEUE, 10)
    source.log.trim(STORAGE_QUEUE, 0, 4)
    lost = [
        abandon(source, STORAGE_QUEUE, 0, 3),
        abandon(source, STORAGE_QUEUE, 3, 6),
        abandon(source, STORAGE_QUEUE, 0, 9, topic_id="of another topic"),
    ]
    ledger = ledger_of(source, STORAGE_QUEUE, planned=10)
    report = copy(source, target.settings, {STORAGE.sensor_name: ledger})
    assert report.good
    assert len(report.gone) == 3
    assert sorted(target.catalog.abandoned()) == sorted(lost)
    assert sorted(target.values(STORAGE_QUEUE)) == values[4:6]


def test_what_retention_took_unplanned_waits_for_an_operator_in_the_target(source, target):
    publish(source, STORAGE_QUEUE, 10)
    source.log.trim(STORAGE_QUEUE, 0, 4)
    ledger = ledger_of(source, STORAGE_QUEUE, planned=2)
    report = copy(source, target.settings, {STORAGE.sensor_name: ledger})
    (waiting,) = target.catalog.abandoned()
    assert (waiting.offsets.start, waiting.offsets.end) == (2, 4)
    assert report.gone == [str(waiting.offsets)]


def test_while_the_event_log_stays_abandoned_ranges_keep_waiting(source, target):
    publish(source, STORAGE_QUEUE, 4)
    waiting = abandon(source, STORAGE_QUEUE, 0, 2)
    report = copy(source, target.settings, only=["catalog"])
    assert report.good
    assert report.queues == []
    assert target.catalog.abandoned() == [waiting]
    assert target.values(STORAGE_QUEUE) == []


def test_while_the_catalog_stays_what_was_published_again_waits_for_nobody(source, target):
    values = publish(source, STORAGE_QUEUE, 6)
    source.log.trim(STORAGE_QUEUE, 0, 2)
    topic_id = source.log.topic_id(STORAGE_QUEUE)
    abandon(target, STORAGE_QUEUE, 3, 5, topic_id)
    lost = abandon(target, STORAGE_QUEUE, 0, 2, topic_id)
    ledger = ledger_of(source, STORAGE_QUEUE, planned=6)
    ledgers = {STORAGE.sensor_name: ledger}
    assert copy(source, target.settings, ledgers, only=["event-log"]).good
    assert sorted(target.values(STORAGE_QUEUE)) == values[3:5]
    assert target.catalog.abandoned() == [lost]


def test_only_the_systems_that_were_asked_for_are_copied(source, target):
    fill_tables(source)
    copy(source, target.settings, only=["warehouse"])
    dump = target.dump()
    assert dump["dicom_image"]
    assert not dump["instance"]


def test_a_row_that_the_target_refuses_to_keep_is_found_missing(source, target, monkeypatch):
    fill_tables(source)
    with copying(source, target.settings) as begun:
        drop = {"rendition": lambda rows: None}
        begun._tables = [
            one._replace(write=drop.get(one.columns.name, one.write)) for one in begun._tables
        ]
        report = begun.run()
    assert not report.good
    wrong = {one.table: one.missing for one in report.tables if not one.good}
    assert wrong == {"catalog.rendition": 40}


def test_a_row_with_another_content_or_an_older_version_is_found(source, target):
    fill_tables(source)
    with copying(source, target.settings) as begun:
        for table in begun._tables:
            begun._copy_table(table)
        begun._tables = [one._replace(write=lambda _: None) for one in begun._tables]
        with target.catalog._database.write() as connection:
            connection.exec_driver_sql("UPDATE rendition SET rule = 'x' WHERE sop_uid = '1.4.1'")
            connection.exec_driver_sql(
                "UPDATE rendition SET row_version = 0 WHERE sop_uid = '1.4.2'"
            )
        report = begun.run()
    (wrong,) = [one for one in report.tables if not one.good]
    assert (wrong.table, wrong.different, wrong.older) == ("catalog.rendition", 1, 1)


def test_messages_that_the_target_lost_are_found(source, target):
    publish(source, STORAGE_QUEUE, 4)
    with copying(source, target.settings) as begun:
        begun._logs.target.publish = lambda messages: None
        report = begun.run()
    (wrong,) = [one for one in report.queues if not one.good]
    assert (wrong.queue, wrong.pending, wrong.arrived) == (STORAGE_QUEUE, 4, 0)


def test_a_queue_that_grows_while_it_is_copied_is_found(source, target):
    publish(source, STORAGE_QUEUE, 4)
    with copying(source, target.settings) as begun:
        publish(source, STORAGE_QUEUE, 1, start=4)
        report = begun.run()
    assert [one.queue for one in report.queues if one.changed] == [STORAGE_QUEUE]
    assert not report.good


@pytest.mark.parametrize("system", ["catalog", "warehouse", "event-log"])
def test_a_target_that_is_not_migrated_is_refused(source, tmp_path, system):
    bare = Settings(dicom_pipeline_home=tmp_path / "bare")
    bare.home.mkdir()
    with pytest.raises(ConfigurationError, match="migrate"), copying(source, bare, only=[system]):
        pass


def test_an_outbox_that_is_not_empty_is_refused_when_the_home_changes(source, target):
    outbox = Outbox(source.settings.home / "outbox" / "node-1.db")
    outbox.add([an_event()])
    outbox.close()
    with pytest.raises(ConfigurationError, match="1 events"), copying(source, target.settings):
        pass


def test_there_is_nothing_to_copy_onto_the_same_files(source):
    with pytest.raises(ConfigurationError, match="CATALOG_URL"):
        moved_systems(source.settings, source.settings.home)


def test_the_same_file_by_its_url_is_the_same(source):
    there = f"sqlite:///{source.settings.home / 'catalog.db'}"
    settings = source.settings.model_copy(update={"catalog_url": there})
    with pytest.raises(ConfigurationError, match="nothing to copy"):
        moved_systems(settings, source.settings.home)


def test_a_system_without_a_file_is_not_copied_and_cannot_be_asked_for(source, target):
    (source.settings.home / "warehouse.db").unlink()
    assert "warehouse" not in moved_systems(target.settings, source.settings.home)
    with pytest.raises(ConfigurationError, match="warehouse"):
        copy(source, target.settings, only=["warehouse"])


def test_the_studies_that_were_copied_get_manifests_in_their_new_home(source, target):
    fill_tables(source)
    copy(source, target.settings)
    rows = target.catalog.query("SELECT DISTINCT tenant_id, study_uid FROM instance")
    due = {one.study for one in target.catalog.manifests_due(1000)}
    assert rows
    assert {(row["tenant_id"], row["study_uid"]) for row in rows} <= due
