"""Doris' routine load, log_queue -> dicom_object_meta: managed by hand, watched by a sensor."""

import dagster as dg

from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.orchestration.routine_load_runs import (
    CHECK,
    KEY,
    AlterConfig,
    RepairConfig,
    StartConfig,
    alter,
    check_now,
    job_of,
    look_interval,
    manage,
    repair,
    start_of,
    tick,
)
from dicom_pipeline.settings import Settings

POOL = "routine_load"


@dg.op(pool=POOL)
def routine_load_create(
    context: dg.OpExecutionContext, config: StartConfig, pipeline: Pipeline
) -> None:
    """Create the routine load unless it is there; it goes on where the last one stood."""
    manage(context, pipeline, lambda managed: managed.load.create(start_of(config)))


@dg.op(pool=POOL)
def routine_load_show(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """Show state, progress, lag and figures of the routine load."""
    manage(context, pipeline, lambda managed: f"{managed.load.name} is shown below")


@dg.op(pool=POOL)
def routine_load_alter(
    context: dg.OpExecutionContext, config: AlterConfig, pipeline: Pipeline
) -> None:
    """Pause, alter and resume the routine load."""
    manage(context, pipeline, lambda managed: alter(managed, config))


@dg.op(pool=POOL)
def routine_load_pause(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """Pause the routine load until somebody resumes it."""
    manage(context, pipeline, lambda managed: managed.load.pause())


@dg.op(pool=POOL)
def routine_load_resume(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """Resume the routine load, unless it needs a repair."""
    manage(context, pipeline, lambda managed: managed.load.resume())


@dg.op(pool=POOL)
def routine_load_stop(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """Stop the routine load for good."""
    manage(context, pipeline, lambda managed: managed.load.stop())


@dg.op(pool=POOL)
def routine_load_recreate(
    context: dg.OpExecutionContext, config: StartConfig, pipeline: Pipeline
) -> None:
    """Stop the routine load and create it anew from where it stood, by the settings."""
    manage(context, pipeline, lambda managed: managed.load.recreate(start_of(config)))


@dg.op(pool=POOL)
def routine_load_repair(
    context: dg.OpExecutionContext, config: RepairConfig, pipeline: Pipeline
) -> None:
    """Set refused messages aside as dead letters, load all others, and go on behind them."""
    manage(context, pipeline, lambda managed: repair(context, managed, config))


create_job = job_of(routine_load_create)
show_job = job_of(routine_load_show)
alter_job = job_of(routine_load_alter)
pause_job = job_of(routine_load_pause)
resume_job = job_of(routine_load_resume)
stop_job = job_of(routine_load_stop)
recreate_job = job_of(routine_load_recreate)
repair_job = job_of(routine_load_repair)


@dg.asset_check(asset=KEY, name=CHECK, description="It reads log_queue, and no row is missing.")
def routine_load_is_well(pipeline: Pipeline) -> dg.AssetCheckResult:
    """Look at the routine load now; the sensor answers by itself whenever something changes."""
    return check_now(pipeline)


@dg.sensor(
    minimum_interval_seconds=look_interval(Settings()),
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Watches the routine load: lag, refused rows, pauses; resumes what may be resumed.",
)
def routine_load_sensor(
    context: dg.SensorEvaluationContext, pipeline: Pipeline
) -> dg.SensorResult | dg.SkipReason:
    """Look at the routine load, and tell what differs from the last look."""
    return tick(context.cursor, pipeline)
