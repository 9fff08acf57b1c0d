"""transcode_queue -> renditions (files, catalog) and conversion records (warehouse)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import dagster as dg

from dicom_pipeline.event_log import EventLog
from dicom_pipeline.messages import OffsetRange
from dicom_pipeline.orchestration.keys import catalog_key, warehouse_key
from dicom_pipeline.orchestration.queue_sensor import queue_sensor
from dicom_pipeline.orchestration.range_runs import Handle
from dicom_pipeline.orchestration.stage_assets import Systems, stage_assets
from dicom_pipeline.ranges import end_within_bytes
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import RENDITIONS
from dicom_pipeline.stages.renditions import open_renderer
from dicom_pipeline.warehouse import CONVERSION_RECORD

TABLES = {
    catalog_key("rendition"): (
        "The file a viewer should open for each object, or why there is none."
    ),
    warehouse_key(CONVERSION_RECORD): (
        "Conversions that failed: code, reason, library, attempt, state."
    ),
}


@contextmanager
def _open(systems: Systems) -> Iterator[Handle]:
    with open_renderer(*systems) as renderer:
        yield renderer.render


def _cut(log: EventLog, settings: Settings) -> Callable[[OffsetRange], int]:
    return lambda offsets: end_within_bytes(log, offsets, settings.stream_range_bytes_max)


renditions = stage_assets(RENDITIONS, TABLES, {"python", "file", "table"}, _open, linked=True)
renditions_job = dg.define_asset_job(
    RENDITIONS.job_name, selection=[renditions], executor_def=dg.in_process_executor
)
renditions_sensor = queue_sensor(RENDITIONS, cut=_cut)
