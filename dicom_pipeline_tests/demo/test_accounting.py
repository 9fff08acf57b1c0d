"""Nothing that was acknowledged may go missing unnoticed: each way to lose something is seen."""

import pytest

from dicom_pipeline.demo.accounting import Acknowledged, missing
from dicom_pipeline.demo.objects import ct_series
from dicom_pipeline.stages import INDEX, OBJECT_META, RENDITIONS, STORAGE
from dicom_pipeline_tests.flow import open_flow


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    return list(ct_series(tmp_path_factory.mktemp("ct"), 3))


@pytest.fixture
def flow(tmp_path):
    with open_flow(tmp_path) as flow:
        yield flow


def receive(flow, series) -> list[Acknowledged]:
    for path in series:
        flow.receive_file(path)
    events = flow.sink.events[-len(series) :]
    return [Acknowledged(event.sop_uid, event.tenant_id) for event in events]


def lacking(flow, acknowledged, **options) -> set[str]:
    return {one.what for one in missing(flow.settings, acknowledged, **options)}


def run_without(flow, left_out) -> None:
    while ranges := flow.pending(1000):
        for stage, offsets in ranges:
            if stage is not left_out:
                flow.run(stage, offsets)


def test_objects_that_passed_every_stage_are_accounted_for(flow, series):
    acknowledged = receive(flow, series)
    flow.run_all()
    assert missing(flow.settings, acknowledged) == []


def test_an_object_that_never_arrived_lacks_everything(flow, series):
    receive(flow, series)
    flow.run_all()
    found = missing(flow.settings, [Acknowledged("1.2.3", "default")])
    assert {one.what for one in found} == {
        "a storage record",
        "a row in the index",
        "a rendition decision",
        "1 of 1 decided receipts in dicom_object_meta",
    }


@pytest.mark.parametrize(
    ("stage", "what"),
    [
        (STORAGE, "a storage record"),
        (INDEX, "a row in the index"),
        (RENDITIONS, "a rendition decision"),
        (OBJECT_META, "1 of 1 decided receipts in dicom_object_meta"),
    ],
)
def test_a_stage_that_did_nothing_is_seen(flow, series, stage, what):
    acknowledged = receive(flow, series)
    run_without(flow, stage)
    assert what in lacking(flow, acknowledged)


def test_a_file_that_is_gone_is_seen(flow, series):
    acknowledged = receive(flow, series)
    flow.run_all()
    flow.settings.storage.joinpath(flow.sink.events[0].file_path).unlink()
    found = missing(flow.settings, acknowledged)
    assert [(one.sop_uid, one.what) for one in found] == [(acknowledged[0].sop_uid, "its file")]


def test_an_object_that_was_sent_twice_needs_two_receipts(flow, series):
    first = receive(flow, series)
    flow.run_all()
    assert lacking(flow, first * 2) == {"1 of 2 decided receipts in dicom_object_meta"}
    second = receive(flow, series)
    flow.run_all()
    assert missing(flow.settings, first + second) == []


def test_receipts_of_earlier_runs_do_not_count(flow, series):
    acknowledged = receive(flow, series)
    flow.run_all()
    assert lacking(flow, acknowledged, since="2999-01-01T00:00:00.000000Z") == {
        "1 of 1 decided receipts in dicom_object_meta"
    }
