"""Videos through the stages: rows, files, and failures that are made good by a backfill."""

import av
import pytest

from dicom_pipeline.backfill import report
from dicom_pipeline.backfill.selection import AUTOMATIC, Selection
from dicom_pipeline.imaging.outcomes import ErrorCode
from dicom_pipeline.stages import renditions as rendition_stage
from dicom_pipeline_tests.flow import open_flow
from dicom_pipeline_tests.flows.without_video_library import MARK, convert_without_video_library
from dicom_pipeline_tests.imaging.video.clips import FRAMES, H264, object_of
from receiver.statuses import Status

NOW = 1 << 62
"""After all pauses."""
OF_A_VIDEO = (
    "SELECT action, source_path, file_path, transfer_syntax_uid, number_of_frames, error_code "
    "FROM rendition"
)


@pytest.fixture
def flow(tmp_path):
    with open_flow(tmp_path / "home") as flow:
        yield flow


def receive(flow, tmp_path, name, **attributes):
    path = object_of(tmp_path / "object.dcm", name, **attributes)
    assert flow.receive_file(path) is Status.SUCCESS


def told(flow):
    return flow.warehouse.query("SELECT transfer_status, target_ts FROM dicom_object_meta")


@pytest.mark.parametrize(("name", "target_ts"), [("h264-mp4", H264), ("hevc-stream", H264)])
def test_a_video_is_a_row_and_a_file_beside_where_a_copy_would_be(flow, tmp_path, name, target_ts):
    receive(flow, tmp_path, name)
    flow.run_all()

    (row,) = flow.catalog.query(OF_A_VIDEO)
    source = row.pop("source_path")
    assert row == {
        "action": "extract_video",
        "file_path": f"{source.removesuffix('.dcm')}.mp4",
        "transfer_syntax_uid": target_ts,
        "number_of_frames": FRAMES,
        "error_code": None,
    }
    assert told(flow) == [{"transfer_status": "Success", "target_ts": target_ts}]
    assert (flow.settings.storage / source).is_file()
    with av.open(str(flow.settings.renditions / row["file_path"])) as file:
        assert file.streams.video[0].frames == FRAMES


def test_other_bytes_under_the_same_uid_are_another_video(flow, tmp_path):
    receive(flow, tmp_path, "h264-stream")
    receive(flow, tmp_path, "h264-stream", FrameTime="100")
    flow.run_all()

    videos = list(flow.settings.renditions.rglob("*.mp4"))
    assert sorted("~" in path.name for path in videos) == [False, True]
    (row,) = flow.catalog.query(OF_A_VIDEO)
    assert "~" in row["file_path"]
    assert flow.settings.renditions / row["file_path"] in videos
    contents = {path: path.read_bytes() for path in videos}
    before = flow.dump()

    flow.done = dict.fromkeys(flow.done, 0)
    flow.run_all()

    assert flow.dump() == before
    assert {path: path.read_bytes() for path in videos} == contents


def test_videos_without_a_library_come_back_once_it_is_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(rendition_stage, "convert", convert_without_video_library)
    mark = tmp_path / "home" / "renditions" / MARK
    mark.parent.mkdir(parents=True)
    mark.touch()
    with open_flow(tmp_path / "home") as flow:
        receive(flow, tmp_path, "h264-stream")
        flow.run_all()

        (failure,) = flow.warehouse.query("SELECT error_code, state FROM dicom_conversion_record")
        assert failure == {"error_code": ErrorCode.MISSING_EXTRA, "state": "failed"}
        assert told(flow) == [{"transfer_status": "Failed", "target_ts": None}]
        assert report.preview(flow.warehouse, AUTOMATIC, NOW).counts == []
        selection = Selection(codes=(ErrorCode.MISSING_EXTRA,))
        assert report.preview(flow.warehouse, selection, NOW).number("ready") == 1

        mark.unlink()
        sent = report.run(flow.log, flow.warehouse, selection, "backfill-1", NOW)
        flow.run_all()

        assert sent.figures()["sent_missing_extra"] == 1
        (failure,) = flow.warehouse.query("SELECT state FROM dicom_conversion_record")
        assert failure == {"state": "recovered"}
        (row,) = flow.catalog.query(OF_A_VIDEO)
        assert (row["action"], row["error_code"]) == ("extract_video", None)
        assert told(flow) == [{"transfer_status": "Success", "target_ts": H264}]
