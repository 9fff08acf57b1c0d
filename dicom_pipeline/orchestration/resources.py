"""The adapters that the settings choose, as one Dagster resource."""

import dagster as dg

from dicom_pipeline.cache import Cache, open_cache
from dicom_pipeline.catalog import Catalog, open_catalog
from dicom_pipeline.event_log import EventLog, open_event_log
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import Warehouse, open_warehouse


class Pipeline(dg.ConfigurableResource):  # type: ignore[type-arg]  # generic only in name
    """Opens the systems that the environment chooses. Each caller closes what it opened."""

    def settings(self) -> Settings:
        """The settings as the environment has them now."""
        return Settings()

    def event_log(self) -> EventLog:
        """The event log."""
        return open_event_log(self.settings())

    def catalog(self) -> Catalog:
        """The catalog."""
        return open_catalog(self.settings())

    def warehouse(self) -> Warehouse:
        """The warehouse."""
        return open_warehouse(self.settings())

    def cache(self) -> Cache:
        """The cache."""
        return open_cache(self.settings())
