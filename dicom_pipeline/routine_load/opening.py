"""The routine load and the systems around it, as the settings choose them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.event_log import EventLog, open_event_log
from dicom_pipeline.event_log.kafka.url import KafkaUrl
from dicom_pipeline.routine_load import NOTHING_TO_MANAGE, feeds_the_table
from dicom_pipeline.routine_load.manager import RoutineLoad
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse.doris.adapter import DorisWarehouse


class Managed(NamedTuple):
    """The routine load, where it reads and where it writes."""

    load: RoutineLoad
    log: EventLog
    warehouse: DorisWarehouse


@contextmanager
def open_routine_load(settings: Settings) -> Iterator[Managed]:
    """Open what is needed to manage the routine load; closed with the context.

    Raises:
        ConfigurationError: no routine load feeds the table.
    """
    if not feeds_the_table(settings):
        raise ConfigurationError(NOTHING_TO_MANAGE)
    kafka = KafkaUrl.parse(settings.event_log_url)
    with open_event_log(settings) as log, DorisWarehouse(settings.warehouse_url) as warehouse:
        yield Managed(RoutineLoad(warehouse.session, warehouse.options, kafka, log), log, warehouse)
