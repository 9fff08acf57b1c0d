"""The port of the warehouse, by Doris."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final, Self

from dicom_pipeline.errors import PermanentError
from dicom_pipeline.table_columns import Row
from dicom_pipeline.warehouse import OBJECT_META
from dicom_pipeline.warehouse.columns import TABLES
from dicom_pipeline.warehouse.doris.batches import batches
from dicom_pipeline.warehouse.doris.binding import require_reading
from dicom_pipeline.warehouse.doris.fitting import Fitting
from dicom_pipeline.warehouse.doris.options import DorisOptions, parse_options
from dicom_pipeline.warehouse.doris.schema import migrate
from dicom_pipeline.warehouse.doris.session import Session
from dicom_pipeline.warehouse.doris.stream_load import StreamLoader

logger: Final = logging.getLogger(__name__)

SHOW_BACKENDS: Final = "SHOW BACKENDS"


class DorisWarehouse:
    """See `warehouse.Warehouse`. A replayed range is loaded once; newer rows stay.

    Args:
        url: see `options.parse_options`.
    """

    def __init__(self, url: str) -> None:
        self._options = parse_options(url)
        self._session = Session(self._options)
        self._backends: frozenset[str] = frozenset()
        self._loader = StreamLoader(self._options, self._is_backend)

    @property
    def options(self) -> DorisOptions:
        """What the URL says."""
        return self._options

    @property
    def session(self) -> Session:
        """For statements that only Doris knows."""
        return self._session

    def error_log(self, url: str) -> str:
        """See `StreamLoader.error_log`."""
        return self._loader.error_log(url)

    def load(self, table: str, rows: Sequence[Row], label: str) -> int:
        if table not in TABLES:
            raise PermanentError(f"load {label}: the warehouse has no table {table}")
        columns = TABLES[table]
        completed = columns.complete(rows)
        fitting = Fitting(table, self._options.json_bytes)
        fitted = (fitting.fit(row) for row in self._kept(table, columns.newest(completed)))
        # All rows are fitted before the first is sent: a row that cannot be loaded loads nothing.
        named = f"{label}{self._options.generation and f'~{self._options.generation}'}"
        for batch in list(batches(table, named, fitted, self._options.batch_bytes)):
            self._loader.load(batch)
        return len(completed)

    def query(self, sql: str, **parameters: object) -> list[dict[str, object]]:
        require_reading(sql)
        return self._session.query(sql, parameters)

    def migrate(self) -> list[str]:
        return migrate(self._session, self._options)

    def close(self) -> None:
        self._session.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _kept(self, table: str, rows: Sequence[Row]) -> Iterator[Row]:
        """Without receipts whose partition was dropped already: Doris would refuse them."""
        days = self._options.retention_days
        if table != OBJECT_META or days is None:
            yield from rows
            return
        oldest = f"{(datetime.now(UTC) - timedelta(days=days)).date()}"
        old = 0
        for row in rows:
            if str(row["created_time"]) < oldest:
                old += 1
            else:
                yield row
        if old:
            logger.warning("%d receipts are older than %d days and were not loaded", old, days)

    def _is_backend(self, host: str) -> bool:
        """Whether the cluster itself names a host; no host when the user may not ask.

        Raises:
            TransientError: the cluster does not answer.
        """
        if host not in self._backends:  # it may be a new one
            with suppress(PermanentError):
                rows = self._session.query(SHOW_BACKENDS, {})
                self._backends = frozenset(str(row.get("Host")).lower() for row in rows)
        return host in self._backends
