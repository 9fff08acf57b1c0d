"""log_queue -> dicom_object_meta (warehouse)."""

from collections.abc import Iterator

import dagster as dg

from dicom_pipeline.orchestration.keys import queue_key, warehouse_key
from dicom_pipeline.orchestration.queue_sensor import queue_sensor
from dicom_pipeline.orchestration.range_runs import (
    RangeConfig,
    range_checks,
    range_results,
    work_on_range,
)
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.stages import OBJECT_META
from dicom_pipeline.stages.object_meta import load_object_meta
from dicom_pipeline.warehouse import OBJECT_META as TABLE

META = warehouse_key(TABLE)


@dg.multi_asset(
    name=OBJECT_META.name,
    specs=[
        dg.AssetSpec(
            META,
            deps=[queue_key(OBJECT_META.queue)],
            group_name="warehouse",
            kinds={"python", "table"},
            description="One row per receipt of an object, with what became of its rendition.",
        )
    ],
    check_specs=range_checks(META),
    pool=OBJECT_META.name,
)
def object_meta(
    context: dg.AssetExecutionContext, config: RangeConfig, pipeline: Pipeline
) -> Iterator[dg.MaterializeResult[None]]:
    """Write the receipts, and the later words about them, as rows."""
    offsets = config.offsets()
    with (
        pipeline.event_log() as log,
        pipeline.catalog() as catalog,
        pipeline.warehouse() as warehouse,
    ):
        report = work_on_range(
            context,
            offsets,
            log,
            catalog,
            lambda batch, label: load_object_meta(batch, warehouse=warehouse, label=label),
        )
    yield from range_results(offsets, report, META)


object_meta_job = dg.define_asset_job(
    OBJECT_META.job_name, selection=[object_meta], executor_def=dg.in_process_executor
)
object_meta_sensor = queue_sensor(OBJECT_META)
