"""Whether the configured cache serves: for `dicom-pipeline doctor`."""

import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Final

import msgspec

from dicom_pipeline.cache.options import CacheOptions, parse_cache_url
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings

if TYPE_CHECKING:
    import redis

_PATIENCE_MS: Final = 2000
"""The doctor waits longer than a run does, to tell a slow Redis from one that is away."""
_PINGS: Final = 5
_OLDEST: Final = (6, 0)
"""The first Redis with users of limited rights."""


class CacheHealth(msgspec.Struct, frozen=True):
    """What was found. Nothing depends on the cache: a problem is a reason to warn, not to fail."""

    where: str
    """``in process``, or the address without user and password."""
    version: str = ""
    """Redis' own; empty when it is not told."""
    latency_ms: float | None = None
    """Median time of a question and its answer."""
    missing_rights: tuple[str, ...] = ()
    """Commands that the user may not use on our keys."""
    problem: str = ""
    """Empty: it serves."""
    remedy: str = ""

    @property
    def found(self) -> str:
        """In one line for people."""
        told = [self.where]
        if self.version:
            told.append(f"Redis {self.version}")
        if self.latency_ms is not None:
            told.append(f"answers in {self.latency_ms:.1f} ms")
        if self.problem:
            told.append(self.problem)
        return "; ".join(told)


def check_cache(settings: Settings) -> CacheHealth:
    """Ask the configured cache for its version, our rights there, and how fast it answers.

    Writes one key under our prefix and removes it. Raises nothing.
    """
    try:
        options = parse_cache_url(settings.cache_url)
    except ConfigurationError as error:
        return CacheHealth("", problem=str(error), remedy="correct the setting CACHE_URL")
    if options.address is None:
        return CacheHealth("in process")
    from dicom_pipeline.cache.redis import connect  # noqa: PLC0415 - only when chosen

    with connect(options.address, max(_PATIENCE_MS, options.timeout_ms)) as client:
        return _checked(client, options)


def _checked(client: "redis.Redis", options: CacheOptions) -> CacheHealth:
    where = str(options.address)
    try:
        latency = _latency_ms(client)
        missing = tuple(name for name, call in _calls(client, options) if not _may(call))
        version = _version(client)
    except Exception as error:  # noqa: BLE001 - what answers may be no Redis at all
        problem, remedy = _explained(error)
        return CacheHealth(where, problem=problem, remedy=remedy)
    health = CacheHealth(where, version, latency, missing)
    if missing:
        return msgspec.structs.replace(
            health,
            problem=f"no right to {', '.join(missing)} on {options.prefix}:*",
            remedy=f"grant it: ACL SETUSER … ~{options.prefix}:* +get +mget +set +del +info",
        )
    if version and _numbers(version) < _OLDEST:
        return msgspec.structs.replace(
            health, problem="it is too old", remedy="use Redis 6.0 or newer"
        )
    if latency > options.timeout_ms:
        return msgspec.structs.replace(
            health,
            problem=f"slower than timeout_ms={options.timeout_ms}: runs go on without it",
            remedy="move it nearer, or raise timeout_ms in CACHE_URL",
        )
    return health


def _latency_ms(client: "redis.Redis") -> float:
    client.ping()  # the first one also connects
    times = []
    for _ in range(_PINGS):
        started = time.perf_counter()
        client.ping()
        times.append(1000 * (time.perf_counter() - started))
    return round(median(times), 3)


def _calls(client: "redis.Redis", options: CacheOptions) -> list[tuple[str, Callable[[], object]]]:
    """What the cache does, on a key that means nothing."""
    key = f"{options.prefix}:doctor"
    return [
        ("SET", lambda: client.set(key, b"", px=1000)),
        ("MGET", lambda: client.mget([key])),
        ("DEL", lambda: client.delete(key)),
    ]


def _may(call: Callable[[], object]) -> bool:
    from redis.exceptions import NoPermissionError  # noqa: PLC0415 - only when chosen

    try:
        call()
    except NoPermissionError:
        return False
    return True


def _version(client: "redis.Redis") -> str:
    from redis.exceptions import NoPermissionError  # noqa: PLC0415 - only when chosen

    try:
        told = client.info("server")
    except NoPermissionError:
        return ""
    return str(told.get("redis_version", ""))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def _explained(error: Exception) -> tuple[str, str]:
    """Problem and remedy."""
    from redis.exceptions import (  # noqa: PLC0415 - only when chosen
        AuthenticationError,
        ConnectionError,  # noqa: A004 - as Redis calls it
        OutOfMemoryError,
        TimeoutError,  # noqa: A004 - as Redis calls it
    )

    if isinstance(error, AuthenticationError):
        return "it refuses user or password", "correct them in CACHE_URL"
    if "certificate" in str(error).lower():
        remedy = "name the PEM file of its authority in CACHE_URL: ?ca=/path/ca.pem"
        return "its certificate is not trusted, or is another host's", remedy
    if isinstance(error, ConnectionError | TimeoutError | OSError):
        remedy = "start it, or correct CACHE_URL; meanwhile everything works, slower"
        return f"it does not answer ({type(error).__name__})", remedy
    if isinstance(error, OutOfMemoryError):
        remedy = "give it more memory, or an eviction policy (maxmemory-policy allkeys-lru)"
        return "it is full and evicts nothing", remedy
    return f"what answers is no Redis for us ({type(error).__name__})", "correct CACHE_URL"
