import itertools
import threading
import uuid

from hypothesis import given
from hypothesis import strategies as st

from dicom_pipeline.clock import HybridClock, iso_time, trace_id_for, wall_clock_us

YEAR_2100 = 4_102_444_800_000_000


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(0, 500))
def test_versions_only_grow_whatever_the_machines_clock_does(times, last):
    readings = iter(times)
    clock = HybridClock(last, now=lambda: next(readings))
    versions = [last, *(clock.next() for _ in times)]
    assert all(earlier < later for earlier, later in itertools.pairwise(versions))


def test_a_version_is_the_time_while_the_clock_goes_forward():
    before = wall_clock_us()
    assert before <= HybridClock().next() <= wall_clock_us()


def test_threads_never_share_a_version():
    clock = HybridClock(now=lambda: 1)
    versions = []

    def take():
        versions.extend(clock.next() for _ in range(500))

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(versions)) == 2000


@given(st.integers(0, YEAR_2100), st.integers(1, 10**9))
def test_trace_ids_are_uuids_of_version_7_that_sort_by_time(version, later):
    first, second = trace_id_for(version), trace_id_for(version + later)
    parsed = uuid.UUID(first)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == version // 1000
    assert first < second


def test_trace_ids_of_one_version_differ():
    assert trace_id_for(1) != trace_id_for(1)


def test_times_are_utc_with_microseconds():
    assert iso_time(0) == "1970-01-01T00:00:00.000000Z"
    assert iso_time(1_769_860_800_000_001) == "2026-01-31T12:00:00.000001Z"
