"""The port of the warehouse: object metadata, tag tables, conversion records, views."""

from collections.abc import Sequence
from typing import Final, Protocol, Self

from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings
from dicom_pipeline.table_columns import Row

OBJECT_META: Final = "dicom_object_meta"
PATIENT: Final = "dicom_patient"
STUDY: Final = "dicom_study"
SERIES: Final = "dicom_series"
IMAGE: Final = "dicom_image"
CONVERSION_RECORD: Final = "dicom_conversion_record"
CONVERSION_RETRY: Final = "dicom_conversion_retry"


class Warehouse(Protocol):
    """Tables that analysts query. Calls raise `TransientError` while the system is away."""

    def load(self, table: str, rows: Sequence[Row], label: str) -> int:
        """Upsert ``rows``, ordered by ``(row_version, trace_id)``; return how many were sent.

        ``label`` names the load, so that a system that remembers labels loads it once.

        Raises:
            PermanentError: the system refused rows; the message says which and why.
        """

    def query(self, sql: str, **parameters: object) -> list[dict[str, object]]:
        """Rows of a SELECT with ``:name`` parameters."""

    def migrate(self) -> list[str]:
        """Apply the migrations that are missing and return their names."""

    def close(self) -> None:
        """Let go of files and connections."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def open_warehouse(settings: Settings) -> Warehouse:
    """The warehouse that ``WAREHOUSE_URL`` chooses; the embedded one when it is empty.

    Raises:
        ConfigurationError: the URL is not one of a warehouse; the message does not quote it.
    """
    from dicom_pipeline.warehouse.sqlite import SqliteWarehouse  # noqa: PLC0415 - when chosen

    if not settings.warehouse_url:
        return SqliteWarehouse(settings.home / "warehouse.db")
    if settings.warehouse_url.startswith("doris:"):
        from dicom_pipeline.warehouse.doris.adapter import DorisWarehouse  # noqa: PLC0415

        return DorisWarehouse(settings.warehouse_url)
    raise ConfigurationError(
        "WAREHOUSE_URL: leave it empty for the embedded warehouse, or write "
        "doris://user:password@host:9030/database"
    )
