"""Two receivers with one storage root take the same SOP Instance UID at the same moment."""

import random
import threading
from collections import Counter
from contextlib import ExitStack

import pytest

from dicom_pipeline.clock import HybridClock
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.flow import open_flow
from dicom_pipeline_tests.receiver.objects import EXPLICIT, DirectReceiving, encode_dataset
from receiver.statuses import Status

ROUNDS = 30


@pytest.fixture(params=["sqlite", pytest.param("mariadb", marks=pytest.mark.service)])
def fresh_catalog(request):
    """Makes the URL of an empty catalog, as often as it is asked."""
    with ExitStack() as stack:
        if request.param == "sqlite":
            yield lambda: ""
        else:
            server = request.getfixturevalue(request.param)
            yield lambda: stack.enter_context(server.fresh_database())


def versions_of(number):
    """Two data sets with one SOP Instance UID; now and then another study, or the same bytes."""
    ours = an_image(number)
    if number % 5 == 4:
        return ours, an_image(number)
    changes = {"StudyInstanceUID": "1.2.3.4"} if number % 5 == 3 else {"InstanceNumber": 10_000}
    return ours, an_image(number, **changes)


def receive_at_once(receivings, flow, data_sets):
    """Each receiver takes one of the data sets, all at the same moment."""
    start = threading.Barrier(len(receivings))
    statuses = []

    def receive(receiving, ds):
        data_set = encode_dataset(ds)
        start.wait(10)
        statuses.append(
            flow.receive(data_set, ds.SOPClassUID, ds.SOPInstanceUID, EXPLICIT, receiving=receiving)
        )

    threads = [
        threading.Thread(target=receive, args=pair)
        for pair in zip(receivings, data_sets, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert statuses == [Status.SUCCESS] * len(receivings)


def receiver(flow, node, now=None):
    clock = HybridClock() if now is None else HybridClock(now=now)
    return DirectReceiving(
        root=flow.settings.storage, worker_node_id=node, outbox=flow.sink, clock=clock
    )


def received_in_rounds(flow, receivings, rounds=ROUNDS):
    for number in range(rounds):
        receive_at_once(receivings, flow, versions_of(number))
    return flow.sink.events


def newest_by_uid(events):
    """Which file is current: that of the newest receipt, by version and trace id."""
    newest = {}
    for event in sorted(events, key=lambda event: (event.version, event.trace_id)):
        newest[event.sop_uid] = event.file_path
    return newest


def paths(store, column, table):
    rows = store.query(f"SELECT sop_uid, {column} AS path FROM {table}")
    return {str(row["sop_uid"]): row["path"] for row in rows}


def test_both_files_are_kept_and_the_same_one_is_current_in_any_order(tmp_path, fresh_catalog):
    with open_flow(tmp_path / "first", catalog_url=fresh_catalog()) as flow:
        receivings = [receiver(flow, "node-1"), receiver(flow, "node-2")]
        events = received_in_rounds(flow, receivings)
        flow.run_all(size=7)
        assert {event.worker_node_id for event in events} == {"node-1", "node-2"}
        files = {event.digest: event.file_path for event in events}
        assert len(set(files.values())) == len(files) == 2 * ROUNDS - ROUNDS // 5
        assert all((flow.settings.storage / path).is_file() for path in files.values())
        stored = flow.catalog.query("SELECT file_path, digest FROM storage_record")
        assert {row["digest"]: row["file_path"] for row in stored} == files
        current = newest_by_uid(events)
        assert paths(flow.catalog, "file_path", "instance") == current
        assert paths(flow.catalog, "source_path", "rendition") == current
        assert paths(flow.warehouse, "file_path", "dicom_image") == current
        assert flow.dead_letters() == []
        expected = flow.dump()
        storage = flow.settings.storage
    for seed in (1, 2):
        order = random.Random(seed)
        with open_flow(
            tmp_path / f"again-{seed}", catalog_url=fresh_catalog(), storage_root=storage
        ) as again:
            again.sink.add(order.sample(events, len(events)))
            ranges = again.pending(7)
            for _ in range(2):  # the second time is a replay
                for stage, offsets in order.sample(ranges, len(ranges)):
                    again.run(stage, offsets)
            again.run_all()
            assert again.dump() == expected


def test_counts_are_right_when_the_two_name_different_studies(tmp_path):
    with open_flow(tmp_path / "home") as flow:
        events = received_in_rounds(flow, [receiver(flow, "node-1"), receiver(flow, "node-2")])
        flow.run_all()
        latest = {event.file_path: event.study_uid for event in events}
        expected = Counter(latest[path] for path in newest_by_uid(events).values())
        counts = flow.catalog.query("SELECT study_uid, number_of_instances AS n FROM study")
        assert {row["study_uid"]: row["n"] for row in counts if row["n"]} == expected


def test_equal_versions_of_two_receivers_are_no_reason_to_lose_a_file(tmp_path):
    with open_flow(tmp_path / "home") as flow:
        nodes = ("node-1", "node-2", "node-3", "node-4")
        receivings = [receiver(flow, node, now=lambda: 5) for node in nodes]
        data_sets = [an_image(1, InstanceNumber=number) for number in range(len(nodes))]
        receive_at_once(receivings, flow, data_sets)
        assert {event.version for event in flow.sink.events} == {5}
        assert len({event.file_path for event in flow.sink.events}) == len(nodes)
        flow.run_all()
        newest = newest_by_uid(flow.sink.events)
        assert paths(flow.catalog, "file_path", "instance") == newest
