"""The sensor of a queue: each tick turns what is waiting into runs over offset ranges."""

from collections.abc import Callable, Iterable
from typing import Final

import dagster as dg

from dicom_pipeline import streams
from dicom_pipeline.catalog import AbandonedRange, Catalog
from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.errors import PermanentError, TransientError
from dicom_pipeline.event_log import EventLog
from dicom_pipeline.lag import queue_figures
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.orchestration.keys import queue_key
from dicom_pipeline.orchestration.range_runs import (
    FAILURE_TAG,
    PERMANENT,
    TRANSIENT,
    range_run_request,
)
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import Stage
from dicom_pipeline.streams import Limits, Plan, RunState

_RUN_KEY_TAG: Final = "dagster/run_key"

_STATES: Final = {
    dg.DagsterRunStatus.SUCCESS: RunState.SUCCEEDED,
    dg.DagsterRunStatus.FAILURE: RunState.FAILED_UNKNOWN,
    dg.DagsterRunStatus.CANCELED: RunState.CANCELED,
    dg.DagsterRunStatus.STARTED: RunState.RUNNING,
    dg.DagsterRunStatus.CANCELING: RunState.RUNNING,
}
"""Every other status is `RunState.WAITING`."""

_FAILURES: Final = {
    TRANSIENT: RunState.FAILED_TRANSIENT,
    PERMANENT: RunState.FAILED_PERMANENT,
}

Cut = Callable[[EventLog, Settings], Callable[[OffsetRange], int]]
"""Makes the function that shortens a planned range (returns its new end)."""


StandsBack = Callable[[Settings], str]
"""Why somebody else than the stage reads its queue; empty: nobody else does."""


def queue_sensor(
    stage: Stage, cut: Cut | None = None, stands_back: StandsBack | None = None
) -> dg.SensorDefinition:
    """The sensor that plans ranges of the stage's queue and requests runs of its job."""

    @dg.sensor(
        name=stage.sensor_name,
        job_name=stage.job_name,
        minimum_interval_seconds=Settings().stream_tick_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Turns what waits in {stage.queue} into runs, a range of offsets each.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, pipeline: Pipeline
    ) -> dg.SensorResult | dg.SkipReason:
        settings = pipeline.settings()
        if stands_back and (reason := stands_back(settings)):
            return dg.SkipReason(reason)
        try:
            with pipeline.event_log() as log, pipeline.catalog() as catalog:
                plan = _plan(context, stage, log, settings, cut)
                _write_down(context, stage, log, catalog, plan)
                return dg.SensorResult(
                    run_requests=_run_requests(stage, plan),
                    cursor=streams.encode(plan.ledger),
                    asset_events=_queue_events(stage, log, catalog, plan),
                )
        except TransientError as error:
            return dg.SkipReason(f"{stage.queue}: {error}")

    return sensor


def _plan(
    context: dg.SensorEvaluationContext,
    stage: Stage,
    log: EventLog,
    settings: Settings,
    cut: Cut | None,
) -> Plan:
    topic_id = log.topic_id(stage.queue)
    ledger = streams.decode(context.cursor)
    return streams.plan(
        ledger,
        stage.queue,
        topic_id,
        log.watermarks(stage.queue),
        run_states(context.instance, [one.run_key for one in ledger.attempts(stage.queue)]),
        wall_clock_us(),
        Limits.from_settings(settings),
        lambda partition, offset: _timestamp(
            log, OffsetRange(stage.queue, topic_id, partition, offset, offset + 1)
        ),
        cut(log, settings) if cut else None,
    )


def _timestamp(log: EventLog, message: OffsetRange) -> int | None:
    """When this one message was published.

    It is read: `EventLog.timestamp` would tell a later one's time when retention is at work.
    """
    try:
        record = next(log.read(message), None)
    except PermanentError:
        return None
    return None if record is None else record.timestamp


def _write_down(
    context: dg.SensorEvaluationContext, stage: Stage, log: EventLog, catalog: Catalog, plan: Plan
) -> None:
    """Tell the operator of ranges that wait, and ordinary Kafka tools how far the stage is."""
    for offsets, attempts, reason in plan.abandoned:
        catalog.abandon(AbandonedRange(offsets, attempts, reason))
        context.log.error("%s waits for an operator: %s", offsets, reason)
    try:
        for partition, offset in streams.committed(plan.ledger).items():
            log.commit(stage.consumer_group, stage.queue, partition, offset)
    except TransientError as error:  # the plan does not rest on it: the next tick commits again
        context.log.warning("%s: offsets not committed: %s", stage.queue, error)


def _run_requests(stage: Stage, plan: Plan) -> list[dg.RunRequest]:
    return [
        range_run_request(stage.name, stage.job_name, request.offsets, request.attempt)
        for request in plan.requests
    ]


def run_states(instance: dg.DagsterInstance, keys: Iterable[str]) -> dict[str, RunState]:
    """The state of the run behind each run key; a key without a run is left out.

    A re-executed run carries the key of its parent: one success is enough, else the newest counts.
    """
    wanted = list(keys)
    if not wanted:
        return {}
    records = instance.get_run_records(dg.RunsFilter(tags={_RUN_KEY_TAG: wanted}))
    states: dict[str, RunState] = {}
    for record in records:  # newest first
        run = record.dagster_run
        state = run_state(run, began=record.start_time is not None)
        if state is RunState.SUCCEEDED or run.tags[_RUN_KEY_TAG] not in states:
            states[run.tags[_RUN_KEY_TAG]] = state
    return states


def run_state(run: dg.DagsterRun, *, began: bool) -> RunState:
    """What the ledger should make of a run; ``began``: whether its process ever came to work.

    One that could not be launched, on a machine without memory or time for it, says nothing of its
    range.
    """
    state = _STATES.get(run.status, RunState.WAITING)
    if state is not RunState.FAILED_UNKNOWN:
        return state
    unknown = state if began else RunState.FAILED_TRANSIENT
    return _FAILURES.get(run.tags.get(FAILURE_TAG, ""), unknown)


def _queue_events(
    stage: Stage, log: EventLog, catalog: Catalog, plan: Plan
) -> list[dg.AssetMaterialization]:
    """The queue's figures as a point of its plots, when something has moved."""
    if not (plan.requests or plan.finished or plan.abandoned):
        return []
    figures = queue_figures(stage, log, catalog, plan.ledger)._asdict()
    planned = sum(len(request.offsets) for request in plan.requests)
    return [
        dg.AssetMaterialization(
            queue_key(stage.queue), metadata={"planned_messages": planned, **figures}
        )
    ]
