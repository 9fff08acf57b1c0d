"""A home that is moved in the middle of its work ends as one that never was."""

import pytest

from dicom_pipeline.demo.objects import ct_series
from dicom_pipeline.stages import STAGES
from dicom_pipeline.streams import Ledger
from dicom_pipeline_tests.flow import open_flow
from dicom_pipeline_tests.moving.homes import Home, copy


@pytest.fixture(params=["sqlite", pytest.param("servers", marks=pytest.mark.service)])
def elsewhere(request) -> dict[str, object]:
    """The settings of the systems to move to."""
    if request.param == "sqlite":
        return {}
    return {
        "catalog_url": request.getfixturevalue("mariadb_url"),
        "event_log_url": request.getfixturevalue("kafka_url"),
    }


def ledgers_of(flow, done) -> dict[str, Ledger]:
    return {
        stage.sensor_name: Ledger(topic_id=flow.log.topic_id(stage.queue), next={0: done[stage]})
        for stage in STAGES
    }


def test_the_stages_finish_in_the_new_systems_what_was_begun_in_the_old(tmp_path, elsewhere):
    files = list(ct_series(tmp_path / "ct", 6))
    old, new = tmp_path / "old", tmp_path / "new"
    with open_flow(old) as flow:
        for path in files[:4]:
            flow.receive_file(path)
        done = dict.fromkeys(STAGES, 0)
        for number, stage in enumerate(STAGES):  # each has come another way
            done[stage] = number
            if number:
                flow.run(stage, flow.offsets(stage, 0, number))
        for path in files[4:]:
            flow.receive_file(path)
        ledgers = ledgers_of(flow, done)
        roots = {
            "storage_root": flow.settings.storage,
            "rendition_root": flow.settings.renditions,
        }
        with open_flow(new, **roots, **elsewhere) as moved:
            source = Home(flow.settings, flow.log, flow.catalog, flow.warehouse)
            assert copy(source, moved.settings, ledgers).good
            moved.run_all()
            ended = moved.dump()
        flow.run_all()
        assert ended == flow.dump()
