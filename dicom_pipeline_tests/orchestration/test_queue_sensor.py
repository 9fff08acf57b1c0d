"""A tick of a queue's sensor, against a real event log and a real Dagster instance."""

import dagster as dg
import pytest

from dicom_pipeline import streams
from dicom_pipeline.event_log import Message, open_event_log
from dicom_pipeline.event_log.bounds import is_of_topic
from dicom_pipeline.messages import STORAGE_QUEUE, OffsetRange, encode
from dicom_pipeline.orchestration.queue_sensor import run_state, run_states
from dicom_pipeline.orchestration.range_runs import (
    FAILURE_TAG,
    PERMANENT,
    TRANSIENT,
    RangeConfig,
)
from dicom_pipeline.stages import STORAGE
from dicom_pipeline.streams import RunState
from dicom_pipeline_tests.events import an_event


def publish(log, count):
    event = an_event()
    log.publish([Message(STORAGE_QUEUE, event.key, encode(event))] * count)


def run_of(instance, request, status, **tags):
    @dg.job
    def empty(): ...

    return instance.create_run_for_job(
        empty, tags={"dagster/run_key": request.run_key, **tags}, status=status
    )


def test_an_empty_queue_starts_nothing(tick):
    assert tick().run_requests == []


def test_what_waits_becomes_a_run_over_its_range(tick, log):
    publish(log, 3)
    (request,) = tick().run_requests
    topic_id = request.run_config["ops"]["storage"]["config"]["topic_id"]
    assert is_of_topic(OffsetRange(STORAGE_QUEUE, topic_id, 0, 0, 3), log.topic_id(STORAGE_QUEUE))
    assert request.run_key == f"{topic_id}:0:0-3#1"
    assert request.tags["dicom/range"] == "storage_queue:0:0-3"
    assert request.run_config["ops"]["storage"]["config"] == {
        "topic": STORAGE_QUEUE,
        "topic_id": topic_id,
        "partition": 0,
        "start": 0,
        "end": 3,
    }


def test_a_range_leaves_the_ledger_when_its_run_has_succeeded(tick, log, instance):
    publish(log, 3)
    first = tick()
    run_of(instance, first.run_requests[0], dg.DagsterRunStatus.STARTED)
    running = tick(first.cursor)
    assert len(streams.decode(running.cursor).outstanding) == 1
    assert log.committed(STORAGE.consumer_group, STORAGE_QUEUE) == {0: 0}

    run_of(instance, first.run_requests[0], dg.DagsterRunStatus.SUCCESS)
    assert streams.decode(tick(running.cursor).cursor).outstanding == []
    assert log.committed(STORAGE.consumer_group, STORAGE_QUEUE) == {0: 3}


def test_a_range_whose_run_cannot_succeed_waits_for_an_operator(tick, log, catalog, instance):
    publish(log, 3)
    first = tick()
    run_of(
        instance,
        first.run_requests[0],
        dg.DagsterRunStatus.FAILURE,
        **{FAILURE_TAG: PERMANENT},
    )
    result = tick(first.cursor)
    assert result.run_requests == []
    (abandoned,) = catalog.abandoned()
    assert str(abandoned.offsets) == "storage_queue:0:0-3"


def test_the_queue_shows_its_lag_in_messages_and_seconds(tick, log):
    publish(log, 3)
    (materialization,) = tick().asset_events
    figures = {name: value.value for name, value in materialization.metadata.items()}
    assert figures["planned_messages"] == figures["lag_messages"] == 3
    assert figures["high_watermark"] == 3
    assert figures["lag_seconds"] > 0


def test_abandoned_messages_still_count_as_lag(tick, log, instance):
    publish(log, 3)
    first = tick()
    run_of(
        instance,
        first.run_requests[0],
        dg.DagsterRunStatus.FAILURE,
        **{FAILURE_TAG: PERMANENT},
    )
    (materialization,) = tick(first.cursor).asset_events
    assert materialization.metadata["lag_messages"].value == 3
    assert materialization.metadata["abandoned_ranges"].value == 1


def test_an_emptied_cursor_runs_everything_again_that_the_queue_holds(tick, log, instance):
    publish(log, 3)
    (request,) = tick().run_requests
    run_of(instance, request, dg.DagsterRunStatus.SUCCESS)
    (again,) = tick().run_requests
    assert again.tags["dicom/range"] == request.tags["dicom/range"]
    assert run_states(instance, [again.run_key]) == {}


def test_a_restored_event_log_that_has_grown_past_the_plan_is_planned_again(
    tick, settings, instance
):
    path = settings.home / "events.db"
    with open_event_log(settings) as log:
        publish(log, 2)
        log._file._connection().execute("VACUUM INTO ?", (str(path.with_name("copy.db")),))
        publish(log, 3)
        first = tick()
        run_of(instance, first.run_requests[0], dg.DagsterRunStatus.SUCCESS)
    path.with_name("copy.db").replace(path)
    with open_event_log(settings) as log:
        publish(log, 5)
        (request,) = tick(first.cursor).run_requests
        assert request.tags["dicom/range"] == "storage_queue:0:0-7"
        offsets = RangeConfig(**request.run_config["ops"]["storage"]["config"]).offsets()
        assert len(list(log.read(offsets))) == 7


@pytest.mark.parametrize(
    ("status", "tags", "state"),
    [
        (dg.DagsterRunStatus.STARTING, {}, RunState.WAITING),
        (dg.DagsterRunStatus.STARTED, {}, RunState.RUNNING),
        (dg.DagsterRunStatus.SUCCESS, {}, RunState.SUCCEEDED),
        (dg.DagsterRunStatus.CANCELED, {}, RunState.CANCELED),
        (dg.DagsterRunStatus.FAILURE, {}, RunState.FAILED_UNKNOWN),
        (dg.DagsterRunStatus.FAILURE, {FAILURE_TAG: TRANSIENT}, RunState.FAILED_TRANSIENT),
        (dg.DagsterRunStatus.FAILURE, {FAILURE_TAG: PERMANENT}, RunState.FAILED_PERMANENT),
    ],
)
def test_the_state_of_a_run_is_its_status_and_what_it_said_of_its_failure(status, tags, state):
    assert run_state(dg.DagsterRun("job", status=status, tags=tags), began=True) is state


def test_a_run_that_was_never_launched_says_nothing_of_its_range(tick, log, instance):
    publish(log, 1)
    (request,) = tick().run_requests
    run_of(instance, request, dg.DagsterRunStatus.FAILURE)
    assert run_states(instance, [request.run_key]) == {request.run_key: RunState.FAILED_TRANSIENT}
    began = run_of(instance, request, dg.DagsterRunStatus.STARTING)
    instance.report_dagster_event(
        dg.DagsterEvent("PIPELINE_START", job_name=began.job_name), run_id=began.run_id
    )
    instance.report_run_failed(began)
    assert run_states(instance, [request.run_key]) == {request.run_key: RunState.FAILED_UNKNOWN}


def test_one_successful_re_execution_is_enough(tick, log, instance):
    publish(log, 1)
    (request,) = tick().run_requests
    run_of(instance, request, dg.DagsterRunStatus.SUCCESS)
    run_of(instance, request, dg.DagsterRunStatus.FAILURE)
    assert run_states(instance, [request.run_key]) == {request.run_key: RunState.SUCCEEDED}
