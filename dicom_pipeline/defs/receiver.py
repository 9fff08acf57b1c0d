"""Where the lineage starts: objects from the modalities, and the queues they are announced in."""

import dagster as dg

from dicom_pipeline.messages import (
    DEAD_LETTER_QUEUE,
    INDEX_QUEUE,
    LOG_QUEUE,
    STORAGE_QUEUE,
    TRANSCODE_QUEUE,
)
from dicom_pipeline.orchestration.keys import RECEIVED_OBJECTS, catalog_key, queue_key

received_objects = dg.AssetSpec(
    RECEIVED_OBJECTS,
    group_name="receive",
    kinds={"dicom", "file"},
    description="Objects that modalities sent by C-STORE: a file and a durable event each.",
)


def _queue(topic: str, purpose: str) -> dg.AssetSpec:
    return dg.AssetSpec(
        queue_key(topic),
        deps=[RECEIVED_OBJECTS],
        group_name="queues",
        kinds={"queue"},
        description=purpose,
    )


storage_queue = _queue(STORAGE_QUEUE, "One event per object, for the storage records.")
index_queue = _queue(INDEX_QUEUE, "One event per object, for the tag index.")
transcode_queue = _queue(TRANSCODE_QUEUE, "One event per object, for the renditions.")
log_queue = _queue(LOG_QUEUE, "Every receipt, and once more when its rendition is decided.")

dead_letter_queue = dg.AssetSpec(
    queue_key(DEAD_LETTER_QUEUE),
    deps=[catalog_key(table) for table in ("storage_record", "instance", "rendition")],
    group_name="dead_letters",
    kinds={"queue"},
    description="Messages that could not be processed, with topic, partition, offset and reason.",
)
