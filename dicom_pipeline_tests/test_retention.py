"""Old messages leave the event log, but only when every stage has passed them."""

import pytest

from dicom_pipeline.catalog import AbandonedRange
from dicom_pipeline.catalog.sql import SqlCatalog
from dicom_pipeline.event_log import Message, Watermarks
from dicom_pipeline.event_log.bounds import planning_id
from dicom_pipeline.event_log.sqlite import SqliteEventLog
from dicom_pipeline.messages import ALL_QUEUES, DEAD_LETTER_QUEUE, STORAGE_QUEUE, OffsetRange
from dicom_pipeline.retention import first_since, trim_event_log
from dicom_pipeline.stages import STORAGE

FOR_EVER = 1 << 62


@pytest.fixture
def log(tmp_path):
    with SqliteEventLog(tmp_path / "events.db") as log:
        log.create_topics(ALL_QUEUES, 1)
        log.publish([Message(STORAGE_QUEUE, "key", b"{}")] * 10)
        log.publish([Message(DEAD_LETTER_QUEUE, "key", b"{}")] * 3)
        yield log


@pytest.fixture
def catalog(tmp_path):
    with SqlCatalog(f"sqlite:///{tmp_path / 'catalog.db'}") as catalog:
        catalog.migrate()
        yield catalog


def abandon(log, catalog, start, end, *, generation="g"):
    topic_id = planning_id(log.topic_id(STORAGE_QUEUE), generation)
    offsets = OffsetRange(STORAGE_QUEUE, topic_id, 0, start, end)
    catalog.abandon(AbandonedRange(offsets, 8, "reason"))
    return offsets


def low(log, topic=STORAGE_QUEUE):
    return log.watermarks(topic)[0].low


def test_messages_that_no_stage_has_passed_stay_however_old_they_are(log, catalog):
    trim_event_log(log, catalog, FOR_EVER)
    assert low(log) == 0


def test_old_messages_below_the_committed_offset_are_deleted(log, catalog):
    log.commit(STORAGE.consumer_group, STORAGE_QUEUE, 0, 7)
    assert trim_event_log(log, catalog, FOR_EVER)[STORAGE_QUEUE] == 7
    assert low(log) == 7


@pytest.mark.parametrize("generation", ["", "g"])
def test_what_waits_for_an_operator_stays(log, catalog, generation):
    log.commit(STORAGE.consumer_group, STORAGE_QUEUE, 0, 10)
    waiting = abandon(log, catalog, 4, 6, generation=generation)
    trim_event_log(log, catalog, FOR_EVER)
    assert low(log) == 4
    catalog.recovered(waiting)
    trim_event_log(log, catalog, FOR_EVER)
    assert low(log) == 10


def test_a_range_that_cannot_be_re_executed_any_more_holds_nothing_back(log, catalog):
    log.trim(STORAGE_QUEUE, 0, 5)
    log.commit(STORAGE.consumer_group, STORAGE_QUEUE, 0, 9)
    abandon(log, catalog, 3, 6)
    trim_event_log(log, catalog, FOR_EVER)
    assert low(log) == 9


def test_a_range_of_a_deleted_topic_holds_nothing_back(log, catalog):
    log.commit(STORAGE.consumer_group, STORAGE_QUEUE, 0, 9)
    old = OffsetRange(STORAGE_QUEUE, "another id", 0, 2, 4)
    catalog.abandon(AbandonedRange(old, 8, "reason"))
    trim_event_log(log, catalog, FOR_EVER)
    assert low(log) == 9


def test_young_messages_stay_though_they_were_processed(log, catalog):
    log.commit(STORAGE.consumer_group, STORAGE_QUEUE, 0, 10)
    trim_event_log(log, catalog, 0)
    assert low(log) == 0


def test_dead_letters_go_by_age_alone(log, catalog):
    assert trim_event_log(log, catalog, FOR_EVER)[DEAD_LETTER_QUEUE] == 3
    assert low(log, DEAD_LETTER_QUEUE) == 3


class Stamped:
    """An event log of which only the time of publishing matters: offset n was published at 10n."""

    def timestamp(self, topic, partition, offset):
        return offset * 10 if offset < 100 else None


@pytest.mark.parametrize(
    ("moment", "offset"), [(0, 20), (200, 20), (201, 21), (555, 56), (990, 99), (991, 100)]
)
def test_the_first_message_since_a_moment_is_found_by_halving(moment, offset):
    assert first_since(Stamped(), STORAGE_QUEUE, 0, Watermarks(20, 100), moment) == offset
