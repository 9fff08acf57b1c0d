"""A busy machine, a mount or a disk that fails: no fault of the objects, so no row tells it."""

import errno
import shutil
from pathlib import Path

import pytest

from dicom_pipeline.errors import TransientError
from dicom_pipeline.imaging.outcomes import Action, ConversionError, ErrorCode, Outcome
from dicom_pipeline.orchestration.range_runs import failures
from dicom_pipeline.stages import INDEX, RENDITIONS, STORAGE
from dicom_pipeline.stages.conversions import convert
from dicom_pipeline.stages.index import Header, Indexed, Unreachable, in_parts, read_header
from dicom_pipeline.stages.skeletons import skeleton
from dicom_pipeline.workers import TaskFailure
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.events import an_event
from dicom_pipeline_tests.flow import open_flow
from receiver.statuses import Status

TIMEOUT = TaskFailure("timeout", "took longer than the limit of 1 s")
BROKEN = TaskFailure("exception", "no attribute can be read")
PARENTS = ("patient", "study", "series")


@pytest.fixture
def flow(tmp_path):
    with open_flow(tmp_path / "home") as flow:
        yield flow


class Scripted:
    """Takes the place of a pool: gives what was prepared for a path, else does the work."""

    def __init__(self, function, results):
        self.function = function
        self.results = results
        self.batches = []

    def map(self, items):
        self.batches.append(len(items))
        for item in items:
            prepared = self.results.get(item[0].name)
            yield prepared.pop(0) if prepared else self.function(item)


def script(flow, **results):
    """The next results of the index and the rendition stage by name of file."""
    flow.indexer._pool = Scripted(read_header, results.get("index", {}))
    flow.renderer._pool = Scripted(convert, results.get("renditions", {}))


def receive(flow, tmp_path, *data_sets):
    for ds in data_sets:
        assert flow.receive_dataset(ds, tmp_path) is Status.SUCCESS


def replay(flow, stage):
    high = flow.log.watermarks(stage.queue)[0].high
    flow.run(stage, flow.offsets(stage, 0, high))
    flow.run_all()


def name(number):
    return f"{an_image(number).SOPInstanceUID}.dcm"


def rows(store, table):
    return sorted(store.query(f"SELECT * FROM {table}"), key=repr)


@pytest.mark.parametrize("stage", [STORAGE, INDEX, RENDITIONS])
def test_a_storage_root_that_is_away_fails_the_range_to_be_tried_again(flow, tmp_path, stage):
    receive(flow, tmp_path, an_image(1))
    (_, offsets) = next(pair for pair in flow.pending(10) if pair[0] is stage)
    away = tmp_path / "away"
    flow.settings.storage.rename(away)
    with pytest.raises(TransientError, match="STORAGE_ROOT"):
        flow.run(stage, offsets)
    flow.settings.storage.mkdir()  # where the mount point is left
    with pytest.raises(TransientError, match=str(flow.settings.storage)):
        flow.run(stage, offsets)
    assert flow.dead_letters() == []
    flow.settings.storage.rmdir()
    away.rename(flow.settings.storage)
    assert flow.run(stage, offsets).objects == 1


def test_a_folder_that_may_not_be_entered_fails_the_range(flow, tmp_path, monkeypatch):
    receive(flow, tmp_path, an_image(1))

    def refused(path, **_):
        raise PermissionError(errno.EACCES, "refused", str(path))

    monkeypatch.setattr("pathlib.Path.stat", refused)
    with pytest.raises(TransientError, match="PermissionError 13"):
        flow.run(STORAGE, flow.offsets(STORAGE, 0, 1))


@pytest.mark.parametrize("failure", [TIMEOUT, BROKEN])
def test_an_unreadable_header_leaves_the_rows_of_its_siblings_alone(flow, tmp_path, failure):
    receive(flow, tmp_path, an_image(1))
    flow.run_all()
    before = {table: flow.catalog.query(f"SELECT * FROM {table}")[0] for table in PARENTS}
    warehouse = {table: rows(flow.warehouse, f"dicom_{table}") for table in PARENTS}
    receive(flow, tmp_path, an_image(2))
    script(flow, index={name(2): [failure, failure]})
    flow.run_all()
    assert {table: rows(flow.warehouse, f"dicom_{table}") for table in PARENTS} == warehouse
    for table in PARENTS:
        (after,) = rows(flow.catalog, table)
        assert after["number_of_instances"] == 2
        assert after["total_size"] > before[table]["total_size"]
        derived = {"number_of_instances", "total_size"}
        assert {k: v for k, v in after.items() if k not in derived} == {
            k: v for k, v in before[table].items() if k not in derived
        }
    for store, table in ((flow.catalog, "instance"), (flow.warehouse, "dicom_image")):
        broken = next(
            row for row in rows(store, table) if row["sop_uid"] == an_image(2).SOPInstanceUID
        )
        assert failure.message in broken["findings"]
        assert broken["image_rows"] is None


def test_a_study_of_which_no_header_can_be_read_is_found_all_the_same(flow, tmp_path):
    receive(flow, tmp_path, an_image(1), an_image(2))
    script(flow, index={name(n): [BROKEN] for n in (1, 2)})
    report = flow.run(INDEX, flow.offsets(INDEX, 0, 2))
    assert failures(report) == 2  # the share of failures tells of them
    (study,) = flow.catalog.query("SELECT number_of_instances FROM study")
    assert study["number_of_instances"] == 2
    (summary,) = flow.warehouse.query("SELECT number_of_instances FROM study_summary")
    assert summary["number_of_instances"] == 2
    before = flow.dump()
    flow.run(STORAGE, flow.offsets(STORAGE, 0, 2))
    after = flow.dump()
    assert {t: after[t] for t in PARENTS} == {t: before[t] for t in PARENTS}


@pytest.mark.parametrize("code", ["timeout", "crashed", "memory"])
def test_a_replay_on_a_busy_machine_changes_nothing(flow, tmp_path, code):
    receive(flow, tmp_path, an_image(1))
    flow.run_all()
    before = flow.dump()
    failure = TaskFailure(code, "the machine is busy")
    twice = {name(1): [failure, failure]}
    script(flow, index=dict(twice), renditions={name(1): [failure, failure]})
    replay(flow, INDEX)
    replay(flow, RENDITIONS)
    assert flow.dump() == before


def test_a_busy_machine_gives_each_object_a_second_chance_alone(flow, tmp_path):
    receive(flow, tmp_path, an_image(1), an_image(2), an_image(3))
    script(flow, index={name(2): [TIMEOUT]}, renditions={name(1): [TIMEOUT], name(3): [TIMEOUT]})
    flow.run_all()
    assert flow.indexer._pool.batches == [3, 1]
    assert flow.renderer._pool.batches == [3, 1, 1]
    assert {row["error_code"] for row in rows(flow.catalog, "rendition")} == {None}
    assert {row["image_rows"] for row in rows(flow.catalog, "instance")} == {an_image(1).Rows}


def test_a_failure_by_circumstances_recovers_when_its_range_is_run_again(flow, tmp_path):
    receive(flow, tmp_path, an_image(1), an_image(2))
    script(flow, renditions={name(1): [TIMEOUT, TIMEOUT]})
    flow.run_all()
    (record,) = rows(flow.warehouse, "dicom_conversion_record")
    assert (record["state"], record["error_code"]) == ("failed", "timeout")
    (failed,) = flow.warehouse.query(
        "SELECT trace_id FROM dicom_object_meta WHERE transfer_status = 'Failed'"
    )
    assert failed["trace_id"] == record["trace_id"]
    replay(flow, RENDITIONS)
    (recovered,) = rows(flow.warehouse, "dicom_conversion_record")
    assert (recovered["state"], recovered["error_code"]) == ("recovered", None)
    assert recovered["row_version"] > record["row_version"]
    statuses = flow.warehouse.query("SELECT transfer_status FROM dicom_object_meta")
    assert {row["transfer_status"] for row in statuses} == {"NoNeedTransfer"}
    before = flow.dump()
    script(flow, renditions={name(1): [TIMEOUT, TIMEOUT]})
    replay(flow, RENDITIONS)
    assert flow.dump() == before


def test_a_disk_that_cannot_be_read_fails_the_range_to_be_tried_again(flow, tmp_path):
    receive(flow, tmp_path, an_image(1))
    script(flow, index={name(1): [Unreachable("OSError 5")]})
    with pytest.raises(TransientError, match="OSError 5"):
        flow.run(INDEX, flow.offsets(INDEX, 0, 1))
    assert rows(flow.catalog, "instance") == []


def test_a_file_that_goes_before_it_is_read_becomes_a_dead_letter(flow, tmp_path):
    receive(flow, tmp_path, an_image(1), an_image(2))

    def vanishing(function):
        def work(item):
            if item[0].name == name(1):
                item[0].unlink(missing_ok=True)
            return function(item)

        return work

    kept = tmp_path / "kept"
    shutil.copytree(flow.settings.storage, kept)
    for stage in (INDEX, RENDITIONS):
        flow.indexer._pool = Scripted(vanishing(read_header), {})
        flow.renderer._pool = Scripted(vanishing(convert), {})
        report = flow.run(stage, flow.offsets(stage, 0, 2))
        assert report.dead_letters == {"file_missing": 1}
        assert report.objects == 1
        shutil.copytree(kept, flow.settings.storage, dirs_exist_ok=True)


def test_a_rendition_that_cannot_be_written_fails_the_range(flow, tmp_path):
    receive(flow, tmp_path, an_image(1))
    error = ConversionError(code=ErrorCode.IO_ERROR, reason="OSError 28")
    full = Outcome(action=Action.FAIL, rule="convert", reason="", error=error)
    script(flow, renditions={name(1): [full]})
    with pytest.raises(TransientError, match="OSError 28"):
        flow.run(RENDITIONS, flow.offsets(RENDITIONS, 0, 1))
    assert rows(flow.catalog, "rendition") == []


def test_what_pydicom_calls_an_os_error_is_the_objects_fault(monkeypatch):
    def broken(*_):
        raise OSError("No tag to read at file position 28")

    monkeypatch.setattr("dicom_pipeline.stages.index.read_tags", broken)
    failure = read_header(Header(Path("broken.dcm"), None))
    assert (failure.code, failure.message.split()[0]) == ("exception", "OSError")


def test_a_file_larger_than_a_worker_may_map_is_no_reason_to_try_for_ever(monkeypatch):
    def too_large(*_):
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    monkeypatch.setattr("dicom_pipeline.stages.index.read_tags", too_large)
    with pytest.raises(MemoryError):
        read_header(Header(Path("large.dcm"), None))


def test_a_batch_with_large_tags_is_written_in_parts():
    def some(number, size):
        return Indexed(skeleton(an_event(trace_id=f"{number}")), "x" * size, readable=True)

    batch = [some(number, size) for number, size in enumerate([5, 5, 1, 10, 3])]
    assert [[len(one.tags) for one in part] for part in in_parts(batch, 10)] == [
        [5, 5],
        [1, 10],
        [3],
    ]
    assert list(in_parts([], 10)) == []
