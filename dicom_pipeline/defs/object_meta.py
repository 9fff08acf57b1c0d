"""log_queue -> dicom_object_meta (warehouse), unless Doris reads the queue itself."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from dicom_pipeline.orchestration.keys import warehouse_key
from dicom_pipeline.orchestration.queue_sensor import queue_sensor
from dicom_pipeline.orchestration.range_runs import Handle
from dicom_pipeline.orchestration.stage_assets import Systems, stage_assets
from dicom_pipeline.routine_load import why_the_stage_stands_back
from dicom_pipeline.stages import OBJECT_META
from dicom_pipeline.stages.object_meta import load_object_meta
from dicom_pipeline.warehouse import OBJECT_META as TABLE

TABLES = {
    warehouse_key(TABLE): "One row per receipt of an object, with what became of its rendition.",
}


@contextmanager
def _open(systems: Systems) -> Iterator[Handle]:
    if reason := why_the_stage_stands_back(systems.settings):
        raise dg.Failure(reason, allow_retries=False)
    yield lambda batch, label: load_object_meta(batch, warehouse=systems.warehouse, label=label)


object_meta = stage_assets(OBJECT_META, TABLES, {"python", "table"}, _open)
object_meta_job = dg.define_asset_job(
    OBJECT_META.job_name, selection=[object_meta], executor_def=dg.in_process_executor
)
object_meta_sensor = queue_sensor(OBJECT_META, stands_back=why_the_stage_stands_back)
