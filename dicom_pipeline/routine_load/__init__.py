"""Doris' routine load of the log queue: its statements, its life, its repair, and what it lacks.

Modules other than this one need the clients of Doris and Kafka: import them when they are chosen.
"""

from typing import Final

from dicom_pipeline.settings import Settings

NOTHING_TO_MANAGE: Final = (
    "there is nothing to manage: dicom_object_meta is fed by the log stage, because a routine load "
    "needs both a warehouse in Doris (WAREHOUSE_URL) and queues in Kafka (EVENT_LOG_URL)"
)


def feeds_the_table(settings: Settings) -> bool:
    """Whether Doris itself reads the log queue; else the log stage writes ``dicom_object_meta``."""
    return settings.warehouse_url.startswith("doris:") and bool(settings.event_log_url)


def why_the_stage_stands_back(settings: Settings) -> str:
    """Why the log stage must not write ``dicom_object_meta``; empty: it is its writer."""
    if not feeds_the_table(settings):
        return ""
    return (
        "dicom_object_meta has one writer, and here it is Doris' routine load, which reads the log "
        "queue by itself: to have rows loaded that are missing, run routine_load_repair_job"
    )
