"""What each queue's consumer does with a batch of events: plain Python, no Dagster."""

from typing import Final, NamedTuple

from dicom_pipeline.messages import (
    INDEX_QUEUE,
    LOG_QUEUE,
    STORAGE_QUEUE,
    TRANSCODE_QUEUE,
)


class Stage(NamedTuple):
    """One consumer: its queue, and the names that its job, sensor, pool and group go by."""

    name: str
    queue: str

    @property
    def consumer_group(self) -> str:
        """The group under which ordinary Kafka tools show this stage's lag."""
        return f"dicom-pipeline-{self.name}"

    @property
    def job_name(self) -> str:
        """The job that works on one range."""
        return f"{self.name}_job"

    @property
    def sensor_name(self) -> str:
        """The sensor that plans ranges."""
        return f"{self.name}_sensor"


STORAGE: Final = Stage("storage", STORAGE_QUEUE)
INDEX: Final = Stage("index", INDEX_QUEUE)
RENDITIONS: Final = Stage("renditions", TRANSCODE_QUEUE)
OBJECT_META: Final = Stage("object_meta", LOG_QUEUE)

STAGES: Final = (STORAGE, INDEX, RENDITIONS, OBJECT_META)
