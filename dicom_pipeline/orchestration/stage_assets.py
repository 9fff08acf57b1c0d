"""The assets of a stage: the tables that it writes, made from one range of its queue at a time."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import dagster as dg

from dicom_pipeline.cache import Cache
from dicom_pipeline.cache.catalog import CachedCatalog
from dicom_pipeline.cache.warehouse import CachedWarehouse
from dicom_pipeline.catalog import Catalog
from dicom_pipeline.event_log import EventLog
from dicom_pipeline.orchestration.keys import queue_key
from dicom_pipeline.orchestration.range_runs import (
    Handle,
    RangeConfig,
    classified,
    range_checks,
    range_results,
    work_on_range,
)
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.settings import Settings
from dicom_pipeline.stages import Stage
from dicom_pipeline.warehouse import Warehouse


class Systems(NamedTuple):
    """What a stage may use."""

    settings: Settings
    log: EventLog
    catalog: Catalog
    warehouse: Warehouse


OpenHandle = Callable[[Systems], AbstractContextManager[Handle]]
"""Makes what works on batches; its workers end with the context."""


def stage_assets(
    stage: Stage, tables: Mapping[dg.AssetKey, str], kinds: set[str], open_handle: OpenHandle
) -> dg.AssetsDefinition:
    """The assets of ``stage``: each table with its description, the one with the checks first."""
    keys = list(tables)

    @dg.multi_asset(
        name=stage.name,
        specs=[
            dg.AssetSpec(
                key,
                deps=[queue_key(stage.queue)],
                group_name=key.path[0],
                kinds=kinds,
                description=description,
            )
            for key, description in tables.items()
        ],
        check_specs=range_checks(keys[0]),
        pool=stage.name,
    )
    def assets(
        context: dg.AssetExecutionContext, config: RangeConfig, pipeline: Pipeline
    ) -> Iterator[dg.MaterializeResult[None]]:
        offsets = config.offsets()
        with (
            classified(context),
            pipeline.cache() as cache,
            _open(pipeline, cache) as systems,
            open_handle(systems) as handle,
        ):
            report = work_on_range(context, offsets, systems.log, systems.catalog, handle)
            behind = systems.log.watermarks(offsets.topic)[offsets.partition].high - offsets.end
        report.counts.update(cache.figures())
        yield from range_results(offsets, report, behind, keys)

    return assets


@contextmanager
def _open(pipeline: Pipeline, cache: Cache) -> Iterator[Systems]:
    settings = pipeline.settings()
    with (
        pipeline.event_log() as log,
        pipeline.catalog() as catalog,
        pipeline.warehouse() as warehouse,
    ):
        yield Systems(
            settings,
            log,
            CachedCatalog(catalog, cache, settings),
            CachedWarehouse(warehouse, cache, settings),
        )
