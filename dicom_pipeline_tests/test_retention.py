"""Old messages leave the event log, but only when every stage has passed them."""

import pytest

from dicom_pipeline.event_log import Message, Watermarks
from dicom_pipeline.event_log.sqlite import SqliteEventLog
from dicom_pipeline.messages import ALL_QUEUES, DEAD_LETTER_QUEUE, STORAGE_QUEUE
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


def low(log, topic=STORAGE_QUEUE):
    return log.watermarks(topic)[0].low


def test_messages_that_no_stage_has_passed_stay_however_old_they_are(log):
    trim_event_log(log, FOR_EVER)
    assert low(log) == 0


def test_old_messages_below_the_committed_offset_are_deleted(log):
    log.commit(STORAGE.consumer_group, STORAGE_QUEUE, 0, 7)
    assert trim_event_log(log, FOR_EVER)[STORAGE_QUEUE] == 7
    assert low(log) == 7


def test_young_messages_stay_though_they_were_processed(log):
    log.commit(STORAGE.consumer_group, STORAGE_QUEUE, 0, 10)
    trim_event_log(log, 0)
    assert low(log) == 0


def test_dead_letters_go_by_age_alone(log):
    assert trim_event_log(log, FOR_EVER)[DEAD_LETTER_QUEUE] == 3
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
