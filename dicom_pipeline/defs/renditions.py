"""transcode_queue -> renditions (files, catalog) and conversion records (warehouse)."""

from collections.abc import Callable, Iterator

import dagster as dg

from dicom_pipeline.event_log import EventLog
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.orchestration.keys import catalog_key, queue_key, warehouse_key
from dicom_pipeline.orchestration.queue_sensor import queue_sensor
from dicom_pipeline.orchestration.range_runs import (
    RangeConfig,
    range_checks,
    range_results,
    work_on_range,
)
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.ranges import end_within_bytes
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import RENDITIONS
from dicom_pipeline.stages.renditions import open_renderer
from dicom_pipeline.warehouse import CONVERSION_RECORD

RENDITION = catalog_key("rendition")
RECORDS = warehouse_key(CONVERSION_RECORD)


@dg.multi_asset(
    name=RENDITIONS.name,
    specs=[
        dg.AssetSpec(
            RENDITION,
            deps=[queue_key(RENDITIONS.queue)],
            group_name="catalog",
            kinds={"python", "file", "table"},
            description="The file a viewer should open for each object, or why there is none.",
        ),
        dg.AssetSpec(
            RECORDS,
            deps=[queue_key(RENDITIONS.queue)],
            group_name="warehouse",
            kinds={"python", "table"},
            description="Conversions that failed: code, reason, library, attempt, state.",
        ),
    ],
    check_specs=range_checks(RENDITION),
    pool=RENDITIONS.name,
)
def renditions(
    context: dg.AssetExecutionContext, config: RangeConfig, pipeline: Pipeline
) -> Iterator[dg.MaterializeResult[None]]:
    """Decide, verify and convert, so that a viewer shows right pixels or none."""
    offsets = config.offsets()
    with (
        pipeline.event_log() as log,
        pipeline.catalog() as catalog,
        pipeline.warehouse() as warehouse,
        open_renderer(pipeline.settings(), log, catalog, warehouse) as renderer,
    ):
        report = work_on_range(context, offsets, log, catalog, renderer.render)
    yield from range_results(offsets, report, RENDITION, RECORDS)


def _cut(log: EventLog, settings: Settings) -> Callable[[OffsetRange], int]:
    return lambda offsets: end_within_bytes(log, offsets, settings.stream_range_bytes_max)


renditions_job = dg.define_asset_job(
    RENDITIONS.job_name, selection=[renditions], executor_def=dg.in_process_executor
)
renditions_sensor = queue_sensor(RENDITIONS, cut=_cut)
