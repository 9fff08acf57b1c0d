"""The resources that assets and sensors ask for by name."""

import dagster as dg

from dicom_pipeline.orchestration.resources import Pipeline


@dg.definitions
def resources() -> dg.Definitions:
    """The adapters that the settings choose."""
    return dg.Definitions(resources={"pipeline": Pipeline()})
