"""storage_queue -> storage records."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from dicom_pipeline.orchestration.keys import catalog_key
from dicom_pipeline.orchestration.queue_sensor import queue_sensor
from dicom_pipeline.orchestration.range_runs import Handle
from dicom_pipeline.orchestration.stage_assets import Systems, stage_assets
from dicom_pipeline.stages import STORAGE
from dicom_pipeline.stages.storage import record_storage

TABLES = {
    catalog_key("storage_record"): (
        "Where each object lies, its digest, size and syntax, and its receipt."
    ),
}


@contextmanager
def _open(systems: Systems) -> Iterator[Handle]:
    root = systems.settings.storage
    yield lambda batch, _: record_storage(batch, catalog=systems.catalog, storage_root=root)


storage = stage_assets(STORAGE, TABLES, {"python", "table"}, _open)
storage_job = dg.define_asset_job(
    STORAGE.job_name, selection=[storage], executor_def=dg.in_process_executor
)
storage_sensor = queue_sensor(STORAGE)
