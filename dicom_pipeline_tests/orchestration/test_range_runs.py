"""A run over a range of messages, executed in this process on a real instance."""

import pytest

from dicom_pipeline.catalog import AbandonedRange
from dicom_pipeline.definitions import definitions
from dicom_pipeline.event_log import Message
from dicom_pipeline.messages import STORAGE_QUEUE, OffsetRange, encode
from dicom_pipeline.orchestration.range_runs import FAILURE_TAG, PERMANENT, TRANSIENT
from dicom_pipeline.stages import STORAGE
from dicom_pipeline.storage import INCOMING
from dicom_pipeline_tests.events import an_event


@pytest.fixture
def execute(instance, settings):
    job = definitions().get_repository_def().get_job(STORAGE.job_name)

    def execute(offsets=None, **tags):
        config = {
            name: getattr(offsets, name)
            for name in ("topic", "topic_id", "partition", "start", "end")
            if offsets
        }
        return job.execute_in_process(
            instance=instance,
            run_config={"ops": {STORAGE.name: {"config": config}}},
            tags=tags,
            raise_on_error=False,
        )

    return execute


@pytest.fixture
def offsets(log, settings):
    """The range of two published events, one of whose files is there."""
    (settings.storage / INCOMING).mkdir(parents=True)
    stored, lost = an_event(file_path="default/a.dcm"), an_event(file_path="default/b.dcm")
    (settings.storage / "default").mkdir()
    (settings.storage / stored.file_path).touch()
    log.publish([Message(STORAGE_QUEUE, event.key, encode(event)) for event in (stored, lost)])
    return OffsetRange(STORAGE_QUEUE, log.topic_id(STORAGE_QUEUE), 0, 0, 2)


def failure_tag(instance, result):
    return instance.get_run_by_id(result.run_id).tags.get(FAILURE_TAG)


def test_a_run_tells_range_counts_bytes_seconds_and_lag(execute, offsets, log):
    log.publish([Message(STORAGE_QUEUE, "key", encode(an_event()))])
    result = execute(offsets)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    metadata = {name: value.value for name, value in event.materialization.metadata.items()}
    assert metadata["range"] == str(offsets)
    assert (metadata["messages"], metadata["objects"], metadata["stored"]) == (2, 1, 1)
    assert (metadata["dead_letters"], metadata["lag_messages"]) == (1, 1)
    assert metadata["bytes"] == 1000
    assert metadata["lag_seconds"] >= metadata["seconds"] > 0


def test_a_run_tells_what_the_cache_did_and_goes_on_without_it(execute, offsets, monkeypatch):
    monkeypatch.setenv("CACHE_URL", "redis://127.0.0.1:1/0")
    result = execute(offsets)
    assert result.success
    (event,) = result.get_asset_materialization_events()
    metadata = {name: value.value for name, value in event.materialization.metadata.items()}
    assert metadata["cache_errors"] > 0
    assert metadata["cache_misses"] == 3
    assert metadata["cache_hits"] == metadata["cache_spared_rows"] == 0


def test_the_checks_tell_completeness_and_the_share_of_failures(execute, offsets):
    checks = {
        evaluation.check_name: evaluation.passed
        for evaluation in execute(offsets).get_asset_check_evaluations()
    }
    assert checks == {"range_complete": True, "failure_share": False}


def test_a_run_without_a_range_says_how_runs_are_started(execute):
    result = execute()
    assert not result.success
    (failure,) = [event for event in result.all_events if event.is_step_failure]
    assert "Re-execute" in failure.step_failure_data.error.message


def test_a_range_that_is_gone_is_not_worth_another_attempt(execute, offsets, log, instance):
    log.trim(STORAGE_QUEUE, 0, 1)
    result = execute(offsets)
    assert not result.success
    assert failure_tag(instance, result) == PERMANENT


def test_a_storage_root_that_is_not_there_is_worth_another_attempt(
    execute, offsets, settings, instance
):
    (settings.storage / INCOMING).rmdir()
    result = execute(offsets)
    assert not result.success
    assert failure_tag(instance, result) == TRANSIENT


def test_a_re_executed_run_does_not_inherit_the_cause_of_its_parent(execute, offsets, instance):
    result = execute(offsets, **{FAILURE_TAG: TRANSIENT})
    assert not failure_tag(instance, result)


def test_an_abandoned_range_is_struck_off_by_a_successful_run(execute, offsets, catalog):
    catalog.abandon(AbandonedRange(offsets, 8, "reason"))
    assert execute(offsets).success
    assert catalog.abandoned() == []
