"""The assets of a stage: the tables that it writes, made from one range of its queue at a time."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import NamedTuple

import dagster as dg

from dicom_pipeline.cache import Cache
from dicom_pipeline.cache.catalog import CachedCatalog
from dicom_pipeline.cache.warehouse import CachedWarehouse
from dicom_pipeline.catalog import Catalog, Study
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
from dicom_pipeline.orchestration.viewer_links import LINKS, viewer_links
from dicom_pipeline.ranges import Received, StageResult
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
    stage: Stage,
    tables: Mapping[dg.AssetKey, str],
    kinds: set[str],
    open_handle: OpenHandle,
    *,
    linked: bool = False,
) -> dg.AssetsDefinition:
    """The assets of ``stage``.

    Args:
        stage: the consumer of a queue.
        tables: each with its description, the one with the checks first.
        kinds: what the UI shows of them.
        open_handle: makes what works on batches.
        linked: whether what is made can be seen in the viewer.
    """
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
            seen = Seen(handle)
            report = work_on_range(context, offsets, systems.log, systems.catalog, seen.handle)
            behind = systems.log.watermarks(offsets.topic)[offsets.partition].high - offsets.end
        report.counts.update(cache.figures())
        links = viewer_links(systems.settings, seen.studies) if linked else {}
        yield from range_results(offsets, report, behind, keys, links)

    return assets


class Seen:
    """A handle that remembers the first studies that pass it."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.studies: dict[Study, None] = {}
        """In the order in which they came."""

    def handle(self, batch: Sequence[Received], label: str) -> StageResult:
        """Work on a batch."""
        for one in batch:
            if len(self.studies) > LINKS:
                break
            self.studies[Study(one.event.tenant_id, one.event.study_uid)] = None
        return self._handle(batch, label)


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
