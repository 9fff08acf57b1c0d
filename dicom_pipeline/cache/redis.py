"""Values in a Redis, which several processes share. Needs a Redis of 6.0 or newer."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dicom_pipeline.cache.breaker import CircuitBreaker
from dicom_pipeline.cache.options import RedisAddress
from dicom_pipeline.cache.stores import StoreError

T = TypeVar("T")

_KEYS_A_CALL: Final = 1000
"""Redis serves one call at a time: long ones make everybody wait."""

logger = logging.getLogger(__name__)


def connect(address: RedisAddress, timeout_ms: int) -> redis.Redis:
    """A client that tries once; it connects when it is first used."""
    return redis.Redis(
        host=address.host,
        port=address.port,
        db=address.database,
        username=address.user,
        password=address.password,
        ssl=address.tls,
        ssl_ca_certs=str(address.ca) if address.ca else None,
        ssl_check_hostname=True,
        socket_connect_timeout=timeout_ms / 1000,
        socket_timeout=timeout_ms / 1000,
        retry=Retry(NoBackoff(), 0),
    )


class RedisStore:
    """See `stores.Store`. Who does not answer in time is not asked again for a while."""

    shared = True

    def __init__(
        self, address: RedisAddress, timeout_ms: int, breaker: CircuitBreaker | None = None
    ) -> None:
        self._address = address
        self._client = connect(address, timeout_ms)
        self._breaker = breaker or CircuitBreaker()

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        """See `stores.Store`."""
        values: list[bytes | None] = []
        for some in _slices(keys):
            values += self._call(partial(self._mget, some))
        return values

    def put(self, values: Mapping[str, bytes], seconds: float) -> None:
        """See `stores.Store`."""
        for some in _slices(list(values)):
            pipeline = self._client.pipeline(transaction=False)
            for key in some:
                pipeline.set(key, values[key], px=max(1, round(seconds * 1000)))
            self._call(pipeline.execute)

    def drop(self, keys: Sequence[str]) -> None:
        """See `stores.Store`."""
        for some in _slices(keys):
            self._call(partial(self._client.delete, *some))

    def close(self) -> None:
        """See `stores.Store`."""
        self._client.close()

    def _mget(self, keys: Sequence[str]) -> list[bytes | None]:
        found = self._client.mget(keys)
        values = [value for value in found if value is None or isinstance(value, bytes)]
        if len(values) != len(keys):
            raise ValueError("that is no answer to MGET")
        return values

    def _call(self, call: Callable[[], T]) -> T:
        if not self._breaker.lets_through():
            raise StoreError("it did not answer a moment ago")
        try:
            answer = call()
        except Exception as error:  # noqa: BLE001 - what answers may be no Redis at all
            # A connection that failed may still hold an answer to this question.
            self._client.connection_pool.disconnect()
            if self._breaker.failed():
                logger.warning(
                    "the cache %s does not serve (%s): everything goes on without it, slower; "
                    "`dicom-pipeline doctor` says more",
                    self._address,
                    type(error).__name__,
                )
            raise StoreError(type(error).__name__) from None
        if self._breaker.succeeded():
            logger.info("the cache %s serves again", self._address)
        return answer


def _slices(keys: Sequence[str]) -> list[Sequence[str]]:
    return [keys[start : start + _KEYS_A_CALL] for start in range(0, len(keys), _KEYS_A_CALL)]
