"""What every event log promises."""

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from itertools import pairwise

import pytest

from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.errors import ConfigurationError, RangeGoneError
from dicom_pipeline.event_log import Message, Watermarks
from dicom_pipeline.messages import OffsetRange

TOPIC = "storage_queue"
OTHER = "index_queue"


def publish(log, count, *, topic=TOPIC, first=0):
    log.publish(
        [Message(topic, f"t/{n}", f"value {n}".encode()) for n in range(first, first + count)]
    )


def span(log, start, end, *, topic=TOPIC, partition=0):
    return OffsetRange(topic, log.topic_id(topic), partition, start, end)


def everything(log, topic=TOPIC):
    return [
        record
        for partition, (low, high) in log.watermarks(topic).items()
        for record in log.read(span(log, low, high, topic=topic, partition=partition))
    ]


def test_a_range_reads_back_what_was_published_in_order(log):
    log.create_topics([TOPIC], 1)
    before = wall_clock_us()
    publish(log, 5)
    after = wall_clock_us()
    records = list(log.read(span(log, 1, 4)))
    assert [(r.topic, r.partition, r.offset, r.key, r.value) for r in records] == [
        (TOPIC, 0, n, f"t/{n}", f"value {n}".encode()) for n in (1, 2, 3)
    ]
    # Kafka keeps milliseconds.
    assert all(before - 1000 <= r.timestamp <= after for r in records)


def test_a_long_range_reads_completely(log):
    log.create_topics([TOPIC], 1)
    publish(log, 1234)
    assert [r.offset for r in log.read(span(log, 0, 1234))] == list(range(1234))


def test_two_readers_do_not_disturb_each_other(log):
    log.create_topics([TOPIC], 1)
    publish(log, 3)
    first, second = log.read(span(log, 0, 3)), log.read(span(log, 0, 3))
    assert [next(first).offset, next(second).offset, next(first).offset] == [0, 0, 1]


def test_an_empty_range_reads_nothing(log):
    log.create_topics([TOPIC], 1)
    assert list(log.read(span(log, 0, 0))) == []


def test_creating_topics_again_changes_nothing(log):
    log.create_topics([TOPIC], 2)
    publish(log, 4)
    before = (log.topic_id(TOPIC), log.watermarks(TOPIC))
    log.create_topics([TOPIC, OTHER], 3)
    assert (log.topic_id(TOPIC), log.watermarks(TOPIC)) == before
    assert log.watermarks(OTHER) == dict.fromkeys(range(3), Watermarks(0, 0))


def test_messages_of_one_key_stay_in_one_partition_in_their_order(log):
    log.create_topics([TOPIC], 4)
    for n in range(60):
        log.publish([Message(TOPIC, f"t/{n % 7}", str(n).encode())])
    by_key = {}
    for record in everything(log):
        by_key.setdefault(record.key, []).append(record)
    assert len({record.partition for records in by_key.values() for record in records}) > 1
    for records in by_key.values():
        assert len({record.partition for record in records}) == 1
        assert all(int(a.value) < int(b.value) for a, b in pairwise(records))


def test_one_call_publishes_to_several_topics(log):
    log.create_topics([TOPIC, OTHER], 1)
    log.publish([Message(TOPIC, "k", b"1"), Message(OTHER, "k", b"2"), Message(TOPIC, "k", b"3")])
    assert [r.value for r in everything(log, TOPIC)] == [b"1", b"3"]
    assert [r.value for r in everything(log, OTHER)] == [b"2"]


def test_publishing_nothing_is_allowed(log):
    log.publish([])


def test_messages_outlive_the_process_that_published_them(adapter):
    with adapter.open() as log:
        log.create_topics([TOPIC], 1)
        publish(log, 2)
    with adapter.open() as log:
        assert log.watermarks(TOPIC) == {0: Watermarks(0, 2)}
        assert len(everything(log)) == 2


def _publish_as(open_log, writer, batches):
    with open_log() as log:
        log.create_topics([TOPIC], 3)
        for n in range(batches):
            log.publish([Message(TOPIC, f"{writer}/{key}", f"{n}".encode()) for key in range(4)])


def _assert_all_arrived(log, writers, batches):
    records = everything(log)
    assert len(records) == writers * batches * 4
    by_key = {}
    for record in records:
        by_key.setdefault(record.key, []).append(int(record.value))
    assert set(map(tuple, by_key.values())) == {tuple(range(batches))}


@pytest.mark.service
def test_several_processes_publish_at_once_from_a_cold_start(adapter):
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(3, mp_context=spawn) as pool:
        for done in [pool.submit(_publish_as, adapter.open, w, 25) for w in range(3)]:
            done.result()
    with adapter.open() as log:
        _assert_all_arrived(log, 3, 25)


def test_several_threads_share_one_log(log):
    log.create_topics([TOPIC], 3)
    start = threading.Barrier(4)

    def write(writer):
        start.wait()
        for n in range(20):
            log.publish([Message(TOPIC, f"{writer}/{k}", f"{n}".encode()) for k in range(4)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    _assert_all_arrived(log, 4, 20)


def test_trimming_moves_the_low_watermark_and_keeps_the_rest(log):
    log.create_topics([TOPIC], 1)
    publish(log, 5)
    assert log.trim(TOPIC, 0, 2) == 2
    assert log.watermarks(TOPIC) == {0: Watermarks(2, 5)}
    assert [r.offset for r in everything(log)] == [2, 3, 4]


def test_trimming_never_goes_back_nor_beyond_the_end(log):
    log.create_topics([TOPIC], 1)
    publish(log, 3)
    log.trim(TOPIC, 0, 2)
    assert log.trim(TOPIC, 0, 1) == 2
    assert log.trim(TOPIC, 0, 99) == 3
    publish(log, 1)
    assert [r.offset for r in everything(log)] == [3]


def test_a_range_that_retention_has_cut_says_how_much_is_gone(log):
    log.create_topics([TOPIC], 1)
    publish(log, 3)
    log.trim(TOPIC, 0, 2)
    with pytest.raises(
        RangeGoneError,
        match=r"2 of 3 messages of storage_queue:0:0-3 are gone: the log starts at 2;",
    ):
        log.read(span(log, 0, 3))


def test_a_range_wholly_before_the_log_is_gone_altogether(log):
    log.create_topics([TOPIC], 1)
    publish(log, 5)
    log.trim(TOPIC, 0, 4)
    with pytest.raises(RangeGoneError, match=r"2 of 2 messages .* the log starts at 4"):
        log.read(span(log, 1, 3))


def test_a_range_beyond_the_high_watermark_is_refused(log):
    log.create_topics([TOPIC], 1)
    publish(log, 2)
    with pytest.raises(RangeGoneError, match=r"3 of 4 messages .* missing: the log ends at 2;"):
        log.read(span(log, 1, 5))


def test_a_range_of_a_partition_that_does_not_exist_is_refused(log):
    log.create_topics([TOPIC], 1)
    with pytest.raises(RangeGoneError, match="has no partition 7"):
        log.read(span(log, 0, 1, partition=7))


def test_a_range_of_a_deleted_topic_does_not_read_the_new_one(adapter, log):
    log.create_topics([TOPIC, OTHER], 1)
    publish(log, 3)
    publish(log, 1, topic=OTHER)
    old = span(log, 0, 3)
    adapter.delete_topic(TOPIC)
    log.create_topics([TOPIC], 1)
    assert log.topic_id(TOPIC) != old.topic_id
    assert log.watermarks(TOPIC) == {0: Watermarks(0, 0)}
    publish(log, 3)
    with pytest.raises(
        RangeGoneError, match=r"all 3 messages of storage_queue:0:0-3 .*created again"
    ):
        log.read(old)
    assert len(everything(log, OTHER)) == 1


def test_a_timestamp_belongs_to_the_first_record_at_or_after_the_offset(log):
    log.create_topics([TOPIC], 1)
    assert log.timestamp(TOPIC, 0, 0) is None
    publish(log, 3)
    log.trim(TOPIC, 0, 1)
    stamps = {r.offset: r.timestamp for r in everything(log)}
    assert log.timestamp(TOPIC, 0, 0) == stamps[1]
    assert log.timestamp(TOPIC, 0, 2) == stamps[2]
    assert log.timestamp(TOPIC, 0, 3) is None


def test_commits_are_kept_per_group_and_partition(log):
    log.create_topics([TOPIC, OTHER], 2)
    publish(log, 20)
    assert log.committed("storage", TOPIC) == {}
    log.commit("storage", TOPIC, 0, 1)
    log.commit("storage", TOPIC, 0, 2)
    log.commit("storage", TOPIC, 1, 3)
    log.commit("index", TOPIC, 0, 4)
    assert log.committed("storage", TOPIC) == {0: 2, 1: 3}
    assert log.committed("index", TOPIC) == {0: 4}
    assert log.committed("storage", OTHER) == {}


@pytest.mark.parametrize(
    "call",
    [
        lambda log: log.publish([Message("nowhere", "k", b"")]),
        lambda log: log.topic_id("nowhere"),
        lambda log: log.watermarks("nowhere"),
        lambda log: log.read(OffsetRange("nowhere", "id", 0, 0, 1)),
        lambda log: log.timestamp("nowhere", 0, 0),
        lambda log: log.commit("storage", "nowhere", 0, 0),
        lambda log: log.committed("storage", "nowhere"),
        lambda log: log.trim("nowhere", 0, 0),
    ],
    ids=["publish", "topic_id", "watermarks", "read", "timestamp", "commit", "committed", "trim"],
)
def test_an_unknown_topic_names_the_command_that_creates_it(log, call):
    with pytest.raises(ConfigurationError, match=r"nowhere' does not exist .*`dicom-pipeline mig"):
        call(log)


def test_a_batch_with_an_unknown_topic_publishes_nothing(log):
    log.create_topics([TOPIC], 1)
    with pytest.raises(ConfigurationError):
        log.publish([Message(TOPIC, "k", b""), Message("nowhere", "k", b"")])
    assert log.watermarks(TOPIC) == {0: Watermarks(0, 0)}
