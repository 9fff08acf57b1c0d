"""When rows appear: the tables hold no processing times, so the demonstration looks."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime
from typing import Final, Self

from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.demo.report import Latency, latency
from dicom_pipeline.errors import TransientError
from dicom_pipeline.settings import Settings
from dicom_pipeline.warehouse import open_warehouse

INDEXED: Final = "row in the index"
_SQL: Final = {
    "storage record": "SELECT trace_id FROM storage_record WHERE created_time >= :since",
    INDEXED: "SELECT trace_id FROM instance WHERE row_version >= :version",
    "rendition decision": "SELECT trace_id FROM rendition WHERE row_version >= :version",
}
RECEIPTS: Final = (
    "SELECT trace_id, created_time FROM dicom_object_meta WHERE created_time >= :since"
)
_META: Final = "row in dicom_object_meta"


class Watch:
    """Notes when each receipt's rows are first seen.

    Args:
        settings: where the tables are.
        since: receipts from this time on (UTC, ISO 8601 with µs).
        started: `time.monotonic` of the demonstration's start.
    """

    def __init__(self, settings: Settings, since: str, started: float) -> None:
        self._settings = settings
        self.since = since
        self._version = int(_parse(since) * 1e6) * 1024
        self._started = started
        self._seen: dict[str, dict[str, float]] = {name: {} for name in (*_SQL, _META)}
        self._received: dict[str, float] = {}
        self._open = ExitStack()
        self.first_index_row: float | None = None
        """Seconds from the start to the first row in the index."""

    def __enter__(self) -> Self:
        self._catalog = self._open.enter_context(open_catalog(self._settings))
        self._warehouse = self._open.enter_context(open_warehouse(self._settings))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def look(self) -> None:
        """Note what is there now."""
        try:
            self._look()
        except TransientError:
            return

    def _look(self) -> None:
        for name, sql in _SQL.items():
            self._note(name, self._catalog.query, sql)
        for row in self._warehouse.query(RECEIPTS, since=self.since):
            trace_id = str(row["trace_id"])
            self._received[trace_id] = _parse(str(row["created_time"]))
            self._seen[_META].setdefault(trace_id, time.time())
        if self._seen[INDEXED] and self.first_index_row is None:
            self.first_index_row = self.seconds()

    def _note(self, name: str, query: Callable[..., list[dict[str, object]]], sql: str) -> None:
        parameters = {"since": self.since} if ":since" in sql else {"version": self._version}
        now = time.time()
        for row in query(sql, **parameters):
            self._seen[name].setdefault(str(row["trace_id"]), now)

    def seconds(self) -> float:
        """Since the start of the demonstration."""
        return round(time.monotonic() - self._started, 1)

    def latencies(self) -> dict[str, Latency]:
        """Seconds from receipt to row, for each kind of row that was seen."""
        found = {
            name: latency(
                [
                    seen - self._received[trace_id]
                    for trace_id, seen in times.items()
                    if trace_id in self._received
                ]
            )
            for name, times in self._seen.items()
        }
        return {name: one for name, one in found.items() if one}


def _parse(iso: str) -> float:
    """Seconds since the epoch."""
    return datetime.fromisoformat(iso).timestamp()
