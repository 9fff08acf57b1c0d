"""The cache: spares catalog and warehouse what was written or read a moment ago.

Nothing depends on it: it may be empty, away, slow or wrong at any time, and the tables and answers
are the same, only slower to come by. `open_cache` turns the setting into an adapter; no call of the
`Cache` raises.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Final, Self

from dicom_pipeline.cache.options import CacheOptions, parse_cache_url
from dicom_pipeline.cache.stores import MemoryStore, Store, StoreError
from dicom_pipeline.settings import Settings

_SEAL_BYTES: Final = 8


@dataclass(slots=True)
class CacheCounts:
    """What the cache has done since it was opened."""

    cache_hits: int = 0
    """Values that were asked for and there."""
    cache_misses: int = 0
    """Values that were asked for and not there."""
    cache_spared_rows: int = 0
    """Rows that were left out of upserts because a newer one is in the table."""
    cache_errors: int = 0
    """Calls that the store did not serve, and values that were not what had been put."""


class Cache:
    """A store whose values are sealed, so that only what was put under a key is got from it."""

    def __init__(self, store: Store, options: CacheOptions | None = None) -> None:
        self._store = store
        self.options = options or CacheOptions()
        self.counts = CacheCounts()

    @property
    def shared(self) -> bool:
        """Whether other processes see the same values."""
        return self._store.shared

    def figures(self) -> dict[str, int]:
        """The counts by their names: for a run's metadata."""
        return asdict(self.counts)

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """The value of each key, None where there is none."""
        if not keys:
            return []
        try:
            found = self._store.get(keys)
        except StoreError:
            self.counts.cache_errors += 1
            self.counts.cache_misses += len(keys)
            return [None] * len(keys)
        values = [self._unsealed(*one) for one in zip(keys, found, strict=True)]
        missing = values.count(None)
        self.counts.cache_misses += missing
        self.counts.cache_hits += len(values) - missing
        return values

    def put(self, values: Mapping[str, bytes], seconds: float) -> bool:
        """Keep the values for so long at most; returns whether they were taken."""
        if not values or seconds <= 0:
            return False
        try:
            self._store.put({key: _sealed(key, value) for key, value in values.items()}, seconds)
        except StoreError:
            self.counts.cache_errors += 1
            return False
        return True

    def drop(self, keys: Sequence[str]) -> None:
        """Forget the values; where the store does not hear it, they end with their time."""
        if not keys:
            return
        try:
            self._store.drop(keys)
        except StoreError:
            self.counts.cache_errors += 1

    def close(self) -> None:
        """Let go of connections."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _unsealed(self, key: str, found: bytes | None) -> bytes | None:
        if found is None:
            return None
        value = found[_SEAL_BYTES:]
        if _sealed(key, value) != found:
            self.counts.cache_errors += 1
            return None
        return value


def open_cache(settings: Settings) -> Cache:
    """The cache that ``CACHE_URL`` chooses; in process when it is empty.

    Raises:
        ConfigurationError: the setting cannot be understood. That nobody answers there is no error.
    """
    options = parse_cache_url(settings.cache_url)
    if options.address is None:
        return Cache(MemoryStore(), options)
    from dicom_pipeline.cache.redis import RedisStore  # noqa: PLC0415 - only when chosen

    return Cache(RedisStore(options.address, options.timeout_ms), options)


def _sealed(key: str, value: bytes) -> bytes:
    """The value behind a digest of key and value: a reply to another question is no value."""
    told = b"%d %b %b" % (len(key), key.encode(), value)
    return blake2b(told, digest_size=_SEAL_BYTES).digest() + value
