"""index_queue -> study index (catalog) and tag tables (warehouse)."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from dicom_pipeline.orchestration.keys import catalog_key, warehouse_key
from dicom_pipeline.orchestration.queue_sensor import queue_sensor
from dicom_pipeline.orchestration.range_runs import Handle
from dicom_pipeline.orchestration.stage_assets import Systems, stage_assets
from dicom_pipeline.stages import INDEX
from dicom_pipeline.stages.index import open_indexer
from dicom_pipeline.warehouse import IMAGE, PATIENT, SERIES, STUDY

TABLES = {
    catalog_key("instance"): "The index of objects: the columns of each object's header.",
    catalog_key("series"): "The index of series, with counts and sizes.",
    catalog_key("study"): "The index of studies, with counts and sizes.",
    catalog_key("patient"): "The index of patients, with counts and sizes.",
    warehouse_key(IMAGE): "One row per object: its columns, and all its tags as DICOM JSON.",
    warehouse_key(SERIES): "One row per series.",
    warehouse_key(STUDY): "One row per study.",
    warehouse_key(PATIENT): "One row per patient.",
}


@contextmanager
def _open(systems: Systems) -> Iterator[Handle]:
    with open_indexer(systems.settings, systems.catalog, systems.warehouse) as indexer:
        yield indexer.index


index = stage_assets(INDEX, TABLES, {"python", "table"}, _open)
index_job = dg.define_asset_job(
    INDEX.job_name, selection=[index], executor_def=dg.in_process_executor
)
index_sensor = queue_sensor(INDEX)
