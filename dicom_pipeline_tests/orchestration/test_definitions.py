"""The code location: every asset, job, sensor and check by name."""

import dagster as dg
import pytest

from dicom_pipeline.definitions import definitions

ASSETS = [
    "catalog/instance",
    "catalog/patient",
    "catalog/rendition",
    "catalog/series",
    "catalog/storage_record",
    "catalog/study",
    "queues/dead_letter_queue",
    "queues/index_queue",
    "queues/log_queue",
    "queues/storage_queue",
    "queues/transcode_queue",
    "receiver/received_objects",
    "viewer/manifests",
    "warehouse/dicom_conversion_record",
    "warehouse/dicom_conversion_retry",
    "warehouse/dicom_image",
    "warehouse/dicom_object_meta",
    "warehouse/dicom_patient",
    "warehouse/dicom_series",
    "warehouse/dicom_study",
]


@pytest.fixture(scope="module")
def location():
    return definitions()


def test_the_assets_are_these(location):
    keys = location.resolve_asset_graph().get_all_asset_keys()
    assert sorted(key.to_user_string() for key in keys) == ASSETS


def test_the_lineage_of_every_table_starts_at_the_receiver(location):
    graph = location.resolve_asset_graph()
    start = dg.AssetKey(["receiver", "received_objects"])
    for key in graph.get_all_asset_keys() - {start}:
        assert start in graph.get_ancestor_asset_keys(key), key


def test_each_stage_has_a_job_and_a_sensor_that_runs_by_itself(location):
    repository = location.get_repository_def()
    jobs = {"storage_job", "index_job", "renditions_job", "object_meta_job"}
    jobs |= {"retention_job", "backfill_job", "manifests_job"}
    assert jobs <= {job.name for job in repository.get_all_jobs()}
    sensors = {sensor.name: sensor.default_status for sensor in repository.sensor_defs}
    assert sensors == dict.fromkeys(
        [
            "storage_sensor",
            "index_sensor",
            "renditions_sensor",
            "object_meta_sensor",
            "manifests_sensor",
            "routine_load_sensor",
            "failed_runs",
        ],
        dg.DefaultSensorStatus.RUNNING,
    )


def test_each_stage_checks_its_range_and_its_share_of_failures(location):
    checks = location.resolve_asset_graph().asset_check_keys
    assert {(key.asset_key.to_user_string(), key.name) for key in checks} == {
        (asset, check)
        for asset in (
            "catalog/storage_record",
            "catalog/instance",
            "catalog/rendition",
            "warehouse/dicom_object_meta",
        )
        for check in ("range_complete", "failure_share")
    } | {("warehouse/dicom_object_meta", "routine_load_is_well")}


def test_the_routine_load_has_a_job_for_everything_that_a_person_may_do(location):
    jobs = {job.name for job in location.get_repository_def().get_all_jobs()}
    actions = ("create", "show", "alter", "pause", "resume", "stop", "recreate", "repair")
    assert {f"routine_load_{action}_job" for action in actions} <= jobs
