"""catalog -> study manifests and lists of studies, as files for viewers."""

from collections.abc import Iterator

import dagster as dg

from dicom_pipeline.clock import wall_clock_us
from dicom_pipeline.errors import TransientError
from dicom_pipeline.orchestration.keys import catalog_key
from dicom_pipeline.orchestration.manifest_runs import (
    JOB,
    KEY,
    ManifestsConfig,
    last_runs,
    run_request,
    write,
)
from dicom_pipeline.orchestration.range_runs import classified
from dicom_pipeline.orchestration.resources import Pipeline
from dicom_pipeline.settings import Settings


@dg.asset(
    key=KEY,
    deps=[catalog_key(table) for table in ("patient", "study", "series", "instance", "rendition")],
    group_name="viewer",
    kinds={"python", "file", "json"},
    description="One JSON file per study that names what a viewer opens for each object.",
    pool="manifests",
)
def manifests(
    context: dg.AssetExecutionContext, config: ManifestsConfig, pipeline: Pipeline
) -> Iterator[dg.MaterializeResult[None]]:
    """Write the manifests of the studies that are marked, and the lists of their tenants."""
    with classified(context), pipeline.catalog() as catalog:
        yield from write(pipeline.settings(), catalog, every_study=config.every_study)


manifests_job = dg.define_asset_job(JOB, selection=[manifests], executor_def=dg.in_process_executor)


@dg.sensor(
    job_name=JOB,
    minimum_interval_seconds=Settings().stream_tick_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Asks for a run when studies are marked: what their manifests say has changed.",
)
def manifests_sensor(
    context: dg.SensorEvaluationContext, pipeline: Pipeline
) -> dg.RunRequest | dg.SkipReason:
    """Ask for one run at a time."""
    try:
        with pipeline.catalog() as catalog:
            due = catalog.manifests_due(1)
    except TransientError as error:
        return dg.SkipReason(str(error))
    return run_request(due, last_runs(context.instance) if due else (), wall_clock_us() / 1e6)
