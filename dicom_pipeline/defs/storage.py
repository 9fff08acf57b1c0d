"""storage_queue -> storage records."""

from collections.abc import Iterator

import dagster as dg

from dicom_pipeline.orchestration.keys import catalog_key, queue_key
from dicom_pipeline.orchestration.queue_sensor import queue_sensor
from dicom_pipeline.orchestration.range_runs import (
    RangeConfig,
    range_checks,
    range_results,
    work_on_range,
)
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.stages import STORAGE
from dicom_pipeline.stages.storage import record_storage

STORAGE_RECORD = catalog_key("storage_record")


@dg.multi_asset(
    name=STORAGE.name,
    specs=[
        dg.AssetSpec(
            STORAGE_RECORD,
            deps=[queue_key(STORAGE.queue)],
            group_name="catalog",
            kinds={"python", "table"},
            description="Where each object lies, its digest, size and syntax, and its receipt.",
        )
    ],
    check_specs=range_checks(STORAGE_RECORD),
    pool=STORAGE.name,
)
def storage(
    context: dg.AssetExecutionContext, config: RangeConfig, pipeline: Pipeline
) -> Iterator[dg.MaterializeResult[None]]:
    """Write a storage record per object, and skeleton rows of its patient, study and series."""
    offsets = config.offsets()
    root = pipeline.settings().storage
    with pipeline.event_log() as log, pipeline.catalog() as catalog:
        report = work_on_range(
            context,
            offsets,
            log,
            catalog,
            lambda batch, _label: record_storage(batch, catalog=catalog, storage_root=root),
        )
    yield from range_results(offsets, report, STORAGE_RECORD)


storage_job = dg.define_asset_job(
    STORAGE.job_name, selection=[storage], executor_def=dg.in_process_executor
)
storage_sensor = queue_sensor(STORAGE)
