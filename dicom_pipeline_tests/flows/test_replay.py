"""Replaying any range at any time, in any order, changes nothing."""

import random

import pytest
from pydicom.data import get_testdata_file

from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.flow import open_flow
from receiver.statuses import Status

BUNDLED = [
    "CT_small.dcm",  # shown as it is
    "MR_small_RLE.dcm",  # compressed, verified, shown as it is
    "JPEG-lossy.dcm",  # 12-bit: converted
    "MR_small_bigendian.dcm",
    "reportsi.dcm",  # no pixels
    "MR_truncated.dcm",  # cannot be shown
]


@pytest.fixture
def flow(tmp_path):
    with open_flow(tmp_path / "home") as flow:
        yield flow


def send_everything(flow, tmp_path):
    for name in BUNDLED:
        assert flow.receive_file(get_testdata_file(name, download=False)) is Status.SUCCESS
    first = an_image(1)
    for ds in (
        first,
        an_image(2),
        first,  # a duplicate
        an_image(1, InstanceNumber=7),  # the same UID with other bytes
        an_image(2, StudyInstanceUID="1.2.3.4", PatientID="P2"),  # moved to another study
        an_image(3, SeriesInstanceUID="1.2.3.5"),
    ):
        assert flow.receive_dataset(ds, tmp_path) is Status.SUCCESS


def test_ranges_replayed_in_random_order_leave_every_table_as_it_was(flow, tmp_path):
    send_everything(flow, tmp_path)
    ranges = flow.run_all(size=3)
    before = flow.dump()
    assert len(before["instance"]) == len({event.sop_uid for event in flow.sink.events})
    assert len(before["dicom_object_meta"]) == len(BUNDLED) + 6
    assert before["dicom_conversion_record"]
    for seed in range(3):
        random.Random(seed).shuffle(ranges)
        for stage, offsets in ranges:
            flow.run(stage, offsets)
        flow.run_all()  # what the replayed renditions published again
        assert flow.dump() == before


def test_the_first_pass_in_any_order_gives_the_same_tables(tmp_path):
    (tmp_path / "sent").mkdir()
    dumps = []
    for seed in range(2):
        with open_flow(tmp_path / f"home-{seed}") as flow:
            flow.receiving.clock._now = lambda: 0  # versions 1, 2, 3 …
            send_everything(flow, tmp_path / "sent")
            ranges = flow.pending(2)
            random.Random(seed).shuffle(ranges)
            for stage, offsets in ranges:
                flow.run(stage, offsets)
            flow.run_all()
            dumps.append(without_trace_ids(flow))
    assert dumps[0] == dumps[1]


def without_trace_ids(flow):
    """Every row but for the random parts of its trace id."""
    traces = {event.trace_id: str(event.version) for event in flow.sink.events}
    text = {table: "\n".join(rows) for table, rows in flow.dump().items()}
    for trace, version in traces.items():
        text = {table: rows.replace(trace, version) for table, rows in text.items()}
    return {table: sorted(rows.splitlines()) for table, rows in text.items()}


def test_counts_follow_an_object_that_moves_to_another_study(flow, tmp_path):
    send_everything(flow, tmp_path)
    flow.run_all()
    old, new = an_image(2).StudyInstanceUID, "1.2.3.4"
    counts = {
        row["study_uid"]: row["number_of_instances"]
        for row in flow.catalog.query("SELECT * FROM study")
    }
    assert (counts[old], counts[new]) == (2, 1)


def test_a_duplicate_is_a_receipt_and_nothing_else(flow, tmp_path):
    for _ in range(2):
        flow.receive_dataset(an_image(1), tmp_path)
    flow.run_all()
    sizes = {table: len(rows) for table, rows in flow.dump().items()}
    assert sizes["dicom_object_meta"] == 2
    assert sizes["storage_record"] == sizes["instance"] == sizes["rendition"] == 1
    statuses = flow.warehouse.query("SELECT transfer_status, duplicate_of FROM dicom_object_meta")
    assert {row["transfer_status"] for row in statuses} == {"NoNeedTransfer"}
    assert sum(row["duplicate_of"] is not None for row in statuses) == 1


def test_an_event_whose_file_is_gone_becomes_a_dead_letter_of_each_stage(flow, tmp_path):
    flow.receive_dataset(an_image(1), tmp_path)
    flow.receive_dataset(an_image(2), tmp_path)
    (flow.settings.storage / flow.sink.events[0].file_path).unlink()
    flow.run_all()
    assert len(flow.dead_letters()) == 3
    assert len(flow.dump()["instance"]) == 1
