"""Failed conversions of three causes, one of them repaired: exactly those come back.

The real sensors plan, the real jobs run in this process, and real workers convert.
"""

import random
from collections import Counter

import dagster as dg
import pytest
from pydicom.uid import ExplicitVRBigEndian

from dicom_pipeline.definitions import definitions
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import STAGES
from dicom_pipeline.stages import renditions as rendition_stage
from dicom_pipeline_tests.datasets import an_image
from dicom_pipeline_tests.flow import dump_tables, open_flow
from dicom_pipeline_tests.flows.old_codec import MARK, convert_with_old_codec
from receiver.statuses import Status

OF_EACH_CAUSE = 100
GOOD = 5
PRIVATE = "1.2.826.0.1.3680043.8.498.1.2.1"
OP = "send_failed_conversions_again"
RANDOM = 7


class Pipeline:
    """The code location's sensors and jobs on one instance, executed in this process."""

    def __init__(self, instance, flow):
        self.instance = instance
        self.flow = flow
        self.repository = definitions().get_repository_def()
        self.cursors = {}

    def drain(self):
        """Let the sensors plan and run what they ask for until nothing is left; the runs."""
        runs = []
        while requests := [request for stage in STAGES for request in self.tick(stage)]:
            runs += [self.execute(one.job_name, one.run_config, one.tags) for one in requests]
        assert all(run.success for run in runs)
        return runs

    def tick(self, stage):
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursors.get(stage),
            repository_def=self.repository,
            resources=self.repository.get_top_level_resources(),
        )
        result = self.repository.get_sensor_def(stage.sensor_name).evaluate_tick(context)
        self.cursors[stage] = result.cursor
        for one in result.run_requests:
            one.tags["dagster/run_key"] = one.run_key
        return result.run_requests

    def execute(self, job, run_config, tags=None):
        return self.repository.get_job(job).execute_in_process(
            instance=self.instance, run_config=run_config, tags=tags
        )

    def backfill(self, **config):
        """The metadata of a run of the backfill."""
        result = self.execute("backfill_job", {"ops": {OP: {"config": config}}})
        (event,) = [e for e in result.all_events if e.event_type_value == "STEP_OUTPUT"]
        return {k: v.value for k, v in event.step_output_data.metadata.items()}


def big_endian(seed):
    """An object that no viewer opens as it is: because of its HighBit."""
    ds = an_image(seed, HighBit=15)
    ds.PixelData = ds.pixel_array.byteswap().tobytes()
    ds.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    return ds


def truncated(seed):
    return an_image(seed, PixelData=an_image(seed).PixelData[:-100])


def of_private_syntax(seed):
    ds = an_image(seed)
    ds.file_meta.TransferSyntaxUID = PRIVATE
    ds.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
    return ds


def states(flow):
    rows = flow.warehouse.query("SELECT state, error_code FROM dicom_conversion_record")
    return Counter((row["state"], row["error_code"]) for row in rows)


@pytest.fixture
def pipeline(tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("DICOM_PIPELINE_HOME", str(home))
    monkeypatch.setenv("WORKER_PROCESSES", "2")
    monkeypatch.setattr(rendition_stage, "convert", convert_with_old_codec)
    (home / "renditions").mkdir(parents=True)
    (home / "renditions" / MARK).touch()
    with dg.DagsterInstance.ephemeral() as instance, open_flow(home) as flow:
        assert Settings().home == flow.settings.home
        yield Pipeline(instance, flow)


def receive_everything(flow, tmp_path):
    """The SOP Instance UIDs of the big-endian objects."""
    data_sets = [big_endian(number) for number in range(OF_EACH_CAUSE)]
    repaired = {str(ds.SOPInstanceUID) for ds in data_sets}
    data_sets += [truncated(1000 + number) for number in range(OF_EACH_CAUSE)]
    data_sets += [of_private_syntax(2000 + number) for number in range(OF_EACH_CAUSE)]
    data_sets += [an_image(3000 + number) for number in range(GOOD)]
    random.Random(RANDOM).shuffle(data_sets)
    for ds in data_sets:
        assert flow.receive_dataset(ds, tmp_path) is Status.SUCCESS
    return repaired


def test_of_three_causes_the_repaired_one_comes_back_once_and_nothing_else_changes(
    pipeline, tmp_path
):
    flow = pipeline.flow
    repaired = receive_everything(flow, tmp_path)
    pipeline.drain()
    causes = {"decoder_error", "truncated", "unsupported_syntax"}
    assert states(flow) == {("failed", cause): OF_EACH_CAUSE for cause in causes}
    before = dump_tables(flow.catalog, flow.warehouse)

    # A dry run names them, and leaves everything as it was.
    told = pipeline.backfill(codes=["decoder_error"], dry_run=True)
    assert {row.data["sop_uid"] for row in told["objects"].records} == repaired
    assert (told["ready"], told["ready_decoder_error"], told["sent"]) == (100, 100, 0)
    assert pipeline.drain() == []
    assert dump_tables(flow.catalog, flow.warehouse) == before

    # The run recovers exactly those.
    (flow.settings.renditions / MARK).unlink()
    told = pipeline.backfill(codes=["decoder_error"])
    assert (told["sent"], told["sent_decoder_error"]) == (100, 100)
    assert pipeline.backfill(codes=["decoder_error"])["queued"] == 100
    renditions = [run for run in pipeline.drain() if run.job_def.name == "renditions_job"]
    (materialized, *_) = renditions[0].get_asset_materialization_events()
    assert materialized.materialization.metadata["recovered"].value == 100
    assert states(flow) == {
        ("recovered", None): 100,
        ("failed", "truncated"): 100,
        ("failed", "unsupported_syntax"): 100,
    }
    assert_shown(flow, repaired)
    after = dump_tables(flow.catalog, flow.warehouse)
    untouched = [uid for uid in all_objects(flow) if uid not in repaired]
    assert len(untouched) == 2 * OF_EACH_CAUSE + GOOD
    assert rows_of(after, untouched) == rows_of(before, untouched)

    # A second run does nothing.
    told = pipeline.backfill(codes=["decoder_error"])
    assert {name: value for name, value in told.items() if value} == {}
    assert pipeline.drain() == []
    assert dump_tables(flow.catalog, flow.warehouse) == after

    # Nor does a replay of everything, the first attempts after the second ones.
    ranges = flow.pending(100)
    random.Random(RANDOM).shuffle(ranges)
    for stage, offsets in reversed(ranges):
        flow.run(stage, offsets)
    flow.run_all()
    assert dump_tables(flow.catalog, flow.warehouse) == after


def assert_shown(flow, uids):
    """Each of these has a rendition, and its history tells how it got it."""
    rows = {row["sop_uid"]: row for row in flow.catalog.query("SELECT * FROM rendition")}
    for uid in uids:
        assert (flow.settings.renditions / rows[uid]["file_path"]).is_file()
    receipts = flow.warehouse.query(
        "SELECT sop_uid FROM dicom_object_meta WHERE transfer_status = 'Success' AND attempt = 1"
    )
    assert {row["sop_uid"] for row in receipts} == uids
    history = flow.warehouse.query(
        "SELECT sop_uid, attempt, state, error_code, library_version FROM conversion_history "
        "WHERE error_code = 'decoder_error' OR state = 'recovered' ORDER BY sop_uid, attempt"
    )
    assert [tuple(row.values()) for row in history] == [
        one
        for uid in sorted(uids)
        for one in (
            (uid, 0, "failed", "decoder_error", "1.0"),
            (uid, 1, "recovered", None, None),
        )
    ]


def all_objects(flow):
    return [str(row["sop_uid"]) for row in flow.catalog.query("SELECT sop_uid FROM instance")]


def rows_of(dump, uids):
    """The rows that speak of these objects."""
    wanted = set(uids)
    tables = ("rendition", "dicom_object_meta", "dicom_conversion_record", "instance")
    return {
        table: [row for row in dump[table] if any(uid in wanted for uid in row.split("'"))]
        for table in tables
    }
