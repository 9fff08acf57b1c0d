"""`status`, `inspect`, `migrate` and the quick count of what is left, over real tables."""

import json

import msgspec
import pytest
from pydicom import dcmread

from dicom_pipeline.cli.inspection import inspect, run_inspect
from dicom_pipeline.cli.migration import migrate
from dicom_pipeline.cli.progress import messages_left
from dicom_pipeline.cli.status import read_status, run_status
from dicom_pipeline.demo.objects import ct_series
from dicom_pipeline.event_log import Message
from dicom_pipeline.messages import DEAD_LETTER_QUEUE
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import STAGES, STORAGE
from dicom_pipeline_tests.flow import open_flow


@pytest.fixture
def flow(tmp_path):
    with open_flow(tmp_path) as flow:
        yield flow


@pytest.fixture
def ct(tmp_path):
    (path,) = ct_series(tmp_path / "ct", 1)
    return path


def commit_all(flow) -> None:
    """What the sensors do after the runs."""
    for stage in STAGES:
        flow.log.commit(stage.consumer_group, stage.queue, 0, flow.done[stage])


def test_what_was_received_is_left_until_each_stage_has_processed_it(flow, ct):
    flow.receive_file(ct)
    left = messages_left(flow.settings)
    assert left == {"receipts": 0, "outbox": 0, **{stage.name: 1 for stage in STAGES}}
    flow.run_all()
    assert all(messages_left(flow.settings)[stage.name] for stage in STAGES)
    commit_all(flow)
    assert not any(messages_left(flow.settings).values())


def test_an_object_without_an_event_is_left_whichever_receiver_took_it(flow):
    incoming = flow.settings.storage / "incoming" / "another-node"
    incoming.mkdir()
    (incoming / "trace.dcm").touch()
    assert messages_left(flow.settings)["receipts"] == 1


def test_a_committed_offset_of_a_topic_that_was_there_before_hides_nothing(flow, ct):
    flow.receive_file(ct)
    for stage in STAGES:
        flow.log.commit(stage.consumer_group, stage.queue, 0, 1000)
    assert all(messages_left(flow.settings)[stage.name] == 1 for stage in STAGES)


def test_the_status_counts_what_no_sensor_has_planned_as_lag(flow, ct):
    flow.receive_file(ct)
    status = read_status(flow.settings)
    assert {queue.queue: queue.lag_messages for queue in status.queues} == {
        stage.queue: 1 for stage in STAGES
    }
    assert all(queue.lag_seconds >= 0 for queue in status.queues)
    assert not status.receiver.running


def test_the_status_counts_what_the_stages_did_and_the_dead_letters(flow, ct):
    flow.receive_file(ct)
    flow.run_all()
    flow.log.publish([Message(DEAD_LETTER_QUEUE, "key", b"{}")])
    status = read_status(flow.settings)
    assert status.counts["storage"] == {"files": 1}
    assert status.counts["index"] == {"objects": 1}
    assert status.counts["renditions"] == {"keep": 1}
    assert status.counts["object_meta"] == {"NoNeedTransfer": 1}
    assert status.dead_letters == 1


def test_the_status_can_be_read_by_programs_and_by_people(flow, ct, capsys):
    flow.receive_file(ct)
    assert run_status(flow.settings, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["queues"][0]["queue"] == STORAGE.queue
    assert run_status(flow.settings, as_json=False) == 0
    assert STORAGE.queue in capsys.readouterr().out


def test_a_receiver_whose_process_is_gone_is_not_running(flow, ct):
    flow.settings.home.joinpath("receiver.json").write_text(
        json.dumps({"pid": 2**22 - 1, "host": "127.0.0.1", "port": 1, "ae_title": "A"})
    )
    assert not read_status(flow.settings).receiver.running


@pytest.mark.parametrize(
    ("keyword", "kind"),
    [("SOPInstanceUID", "object"), ("SeriesInstanceUID", "series"), ("StudyInstanceUID", "study")],
)
def test_each_uid_of_an_object_is_found(flow, ct, keyword, kind):
    flow.receive_file(ct)
    flow.run_all()
    found = inspect(flow.settings, str(dcmread(ct)[keyword].value), patient=False)
    assert [finding.kind for finding in found] == [kind]


def test_an_object_shows_all_its_receipts_and_which_file_is_current(flow, ct):
    flow.receive_file(ct)
    flow.receive_file(ct)
    flow.run_all()
    (found,) = inspect(flow.settings, dcmread(ct).SOPInstanceUID, patient=False)
    assert len(found.sections["Receipts"]) == 2
    assert len(found.sections["Files, the current one last"]) == 1
    assert found.sections["Receipts"][1]["duplicate_of"]


def test_patients_are_named_only_on_request(flow, ct):
    flow.receive_file(ct)
    flow.run_all()
    uid = dcmread(ct).SOPInstanceUID
    without = msgspec.json.encode(inspect(flow.settings, uid, patient=False)).decode()
    assert "DEMO-CT" not in without
    assert "张" not in without
    assert "张" in msgspec.json.encode(inspect(flow.settings, uid, patient=True)).decode()


def test_an_unknown_uid_is_a_failure_that_says_where_to_look(flow, capsys):
    assert run_inspect(flow.settings, "1.2.3", patient=False, as_json=False) == 1
    assert "dicom-pipeline status" in capsys.readouterr().out.replace("\n", " ")


def test_migrating_twice_does_nothing_the_second_time(tmp_path):
    settings = Settings(dicom_pipeline_home=tmp_path / "new")
    first = dict(migrate(settings))
    second = dict(migrate(settings))
    assert first["catalog"]
    assert first["warehouse"]
    assert second["catalog"] == second["warehouse"] == []
