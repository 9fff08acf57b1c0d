"""The cache. Nothing depends on it, so none of its problems is a failure but a wrong setting."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from dicom_pipeline.cache import health
from dicom_pipeline.cache.options import RedisAddress, parse_cache_url
from dicom_pipeline.cli.checks.check import Check, failure, ok, warning
from dicom_pipeline.cli.checks.clocks import clock_check
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings

SYSTEM: Final = "cache"

_PATIENCE_MS: Final = 2000


def check_cache(settings: Settings) -> Iterator[Check]:
    """The cache that the settings choose."""
    try:
        options = parse_cache_url(settings.cache_url)
    except ConfigurationError as error:
        yield failure(SYSTEM, "configuration", str(error), "correct CACHE_URL")
        return
    address = options.address
    if address is None:
        yield ok(SYSTEM, "reachable", "in process: each process has its own")
        return
    found = health.check_cache(settings)
    if found.problem:
        yield warning(SYSTEM, "usable", f"{found.where}: {found.problem}", found.remedy)
    else:
        yield ok(SYSTEM, "reachable", f"{found.where}, answers in {found.latency_ms:.1f} ms")
        yield ok(SYSTEM, "rights", "read and write")
    if found.version:
        yield ok(SYSTEM, "version", f"Redis {found.version}")
        yield clock_check(SYSTEM, lambda: _now(address))


def _now(address: RedisAddress) -> datetime:
    """The server's time, which goes with its version: TIME would be a right more."""
    from dicom_pipeline.cache.redis import connect  # noqa: PLC0415 - only when chosen

    with connect(address, _PATIENCE_MS) as client:
        microseconds = int(client.info("server")["server_time_usec"])
    return datetime.fromtimestamp(microseconds / 1e6, UTC)
