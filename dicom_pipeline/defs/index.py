"""index_queue -> study index (catalog) and tag tables (warehouse)."""

from collections.abc import Iterator

import dagster as dg

from dicom_pipeline.orchestration.keys import catalog_key, queue_key, warehouse_key
from dicom_pipeline.orchestration.queue_sensor import queue_sensor
from dicom_pipeline.orchestration.range_runs import (
    RangeConfig,
    range_checks,
    range_results,
    work_on_range,
)
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.stages import INDEX
from dicom_pipeline.stages.index import open_indexer
from dicom_pipeline.warehouse import IMAGE, PATIENT, SERIES, STUDY

INSTANCE = catalog_key("instance")
CATALOG_TABLES = {
    "instance": "The index of objects: the columns of each object's header.",
    "series": "The index of series, with counts and sizes.",
    "study": "The index of studies, with counts and sizes.",
    "patient": "The index of patients, with counts and sizes.",
}
WAREHOUSE_TABLES = {
    IMAGE: "One row per object: its columns, and all its tags as DICOM JSON.",
    SERIES: "One row per series.",
    STUDY: "One row per study.",
    PATIENT: "One row per patient.",
}
TABLES = {
    **{catalog_key(table): text for table, text in CATALOG_TABLES.items()},
    **{warehouse_key(table): text for table, text in WAREHOUSE_TABLES.items()},
}


@dg.multi_asset(
    name=INDEX.name,
    specs=[
        dg.AssetSpec(
            key,
            deps=[queue_key(INDEX.queue)],
            group_name=key.path[0],
            kinds={"python", "table"},
            description=description,
        )
        for key, description in TABLES.items()
    ],
    check_specs=range_checks(INSTANCE),
    pool=INDEX.name,
)
def index(
    context: dg.AssetExecutionContext, config: RangeConfig, pipeline: Pipeline
) -> Iterator[dg.MaterializeResult[None]]:
    """Read the header of each object once and fill the study index and the tag tables."""
    offsets = config.offsets()
    with (
        pipeline.event_log() as log,
        pipeline.catalog() as catalog,
        pipeline.warehouse() as warehouse,
        open_indexer(pipeline.settings(), catalog, warehouse) as indexer,
    ):
        report = work_on_range(context, offsets, log, catalog, indexer.index)
    others = [key for key in TABLES if key != INSTANCE]
    yield from range_results(offsets, report, INSTANCE, *others)


index_job = dg.define_asset_job(
    INDEX.job_name, selection=[index], executor_def=dg.in_process_executor
)
index_sensor = queue_sensor(INDEX)
