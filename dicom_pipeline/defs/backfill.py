"""Failed conversions -> transcode_queue: by hand from the Launchpad, by itself when retryable."""

import dagster as dg

from dicom_pipeline.backfill.candidates import Disposition, ready
from dicom_pipeline.backfill.following import waiting
from dicom_pipeline.backfill.report import preview, run
from dicom_pipeline.backfill.selection import AUTOMATIC
from dicom_pipeline.backfill.sending import SENT
from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.errors import TransientError
from dicom_pipeline.messages import TRANSCODE_QUEUE
from dicom_pipeline.orchestration.backfill_runs import (
    RETRIES,
    BackfillConfig,
    explained,
    metadata,
    names,
)
from dicom_pipeline.orchestration.keys import warehouse_key
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.warehouse import CONVERSION_RECORD, CONVERSION_RETRY

conversion_retries = dg.AssetSpec(
    warehouse_key(CONVERSION_RETRY),
    deps=[warehouse_key(CONVERSION_RECORD)],
    group_name="warehouse",
    kinds={"python", "table"},
    description="Failed attempts that a backfill has sent through transcode_queue again.",
)


@dg.op(pool="backfill", retry_policy=RETRIES)
def send_failed_conversions_again(
    context: dg.OpExecutionContext, config: BackfillConfig, pipeline: Pipeline
) -> None:
    """Publish the events of the selected failures with their next attempt."""
    now = wall_clock_us()
    with explained(), pipeline.event_log() as log, pipeline.warehouse() as warehouse:
        selection = config.selection()
        if config.dry_run:
            report = preview(warehouse, selection, now)
            found = metadata(report) | names(ready(warehouse, selection, now))
            context.add_output_metadata({"dry_run": True, **found})
            return
        report = run(log, warehouse, selection, context.run_id, now)
        context.add_output_metadata({"dry_run": False, **metadata(report)})
        if report.number(SENT):
            key = warehouse_key(CONVERSION_RETRY)
            context.log_event(dg.AssetMaterialization(key, metadata=metadata(report)))


@dg.job(executor_def=dg.in_process_executor)
def backfill_job() -> None:
    """Send failed conversions through transcode_queue again, as the configuration selects them."""
    send_failed_conversions_again()


@dg.schedule(
    job=backfill_job,
    cron_schedule="*/5 * * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Sends failures again that a busy machine may be to blame for, with a growing "
    "pause, a few times.",
)
def backfill_schedule(pipeline: Pipeline) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run when there is something to send and new objects do not wait for it."""
    try:
        with pipeline.event_log() as log, pipeline.warehouse() as warehouse:
            messages = waiting(log)
            report = preview(warehouse, AUTOMATIC, wall_clock_us())
    except TransientError as error:
        return dg.SkipReason(str(error))
    if not report.number(Disposition.READY):
        return dg.SkipReason("no failure that another attempt may help is due")
    if messages > AUTOMATIC.limit:
        return dg.SkipReason(f"{messages} messages wait in {TRANSCODE_QUEUE}: they come first")
    config = BackfillConfig.of(AUTOMATIC)
    return dg.RunRequest(run_config=dg.RunConfig({send_failed_conversions_again.name: config}))
