"""What runs on its own beside the stages: word about failed runs, and retention."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

import dagster as dg

from dicom_pipeline.orchestration.range_runs import ATTEMPT_TAG, FAILURE_TAG, RANGE_TAG
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.retention import trim_event_log

_PURGED_AT_A_TIME: Final = 200


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says of each failed run which range it leaves, and whether it comes back.",
)
def failed_runs(context: dg.RunFailureSensorContext) -> None:
    """Log the range of a failed run; the queue's ledger asks for it again by itself."""
    tags = context.dagster_run.tags
    context.log.warning(
        "run %s of %s failed (range %s, attempt %s, %s)",
        context.dagster_run.run_id,
        context.dagster_run.job_name,
        tags.get(RANGE_TAG, "none"),
        tags.get(ATTEMPT_TAG, "none"),
        tags.get(FAILURE_TAG) or "cause unknown",
    )


@dg.op
def trim_queues(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """Delete old messages that their stage has passed and nobody waits for."""
    age = timedelta(hours=pipeline.settings().event_log_retention_hours)
    older_than = int((datetime.now(UTC) - age).timestamp() * 1_000_000)
    with pipeline.event_log() as log, pipeline.catalog() as catalog:
        context.add_output_metadata(dict(trim_event_log(log, catalog, older_than)))


@dg.op
def purge_runs(context: dg.OpExecutionContext, pipeline: Pipeline) -> None:
    """Delete finished runs, and what they logged, that are older than the retention."""
    age = timedelta(days=pipeline.settings().dagster_run_retention_days)
    deleted = 0
    for run_id in _old_runs(context.instance, datetime.now(UTC) - age):
        context.instance.delete_run(run_id)
        deleted += 1
    context.add_output_metadata({"deleted_runs": deleted})


def _old_runs(instance: dg.DagsterInstance, before: datetime) -> Iterator[str]:
    finished = [
        dg.DagsterRunStatus.SUCCESS,
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.CANCELED,
    ]
    old = dg.RunsFilter(statuses=finished, updated_before=before)
    while records := instance.get_run_records(old, limit=_PURGED_AT_A_TIME):
        for record in records:
            yield record.dagster_run.run_id


@dg.job(executor_def=dg.in_process_executor)
def retention_job() -> None:
    """Keep the event log and Dagster's own database from growing without end."""
    trim_queues()
    purge_runs()


retention_schedule = dg.ScheduleDefinition(
    job=retention_job,
    cron_schedule="17 2 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
)
