"""A Redis that is killed, frozen, full, locked or no Redis at all: slower, and never wrong."""

import logging
import socket
import threading
import time
from contextlib import contextmanager

import pytest

from dicom_pipeline.cache import Cache, open_cache
from dicom_pipeline.cache.breaker import CircuitBreaker
from dicom_pipeline.cache.catalog import CachedCatalog
from dicom_pipeline.cache.options import parse_cache_url
from dicom_pipeline.cache.redis import RedisStore
from dicom_pipeline.cache.stores import MemoryStore
from dicom_pipeline.catalog import open_catalog
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.catalog.samples import contents, indexed
from dicom_pipeline_tests.services.redis import PASSWORD

pytestmark = pytest.mark.service


class Clock:
    """The breaker's, so that no test waits for its pauses."""

    def __init__(self):
        self.seconds = 0.0

    def __call__(self):
        return self.seconds


def opened(url, clock=time.monotonic):
    options = parse_cache_url(url)
    return Cache(RedisStore(options.address, options.timeout_ms, CircuitBreaker(clock)), options)


def serves(cache):
    """Whether a value that is put now is got."""
    key = f"{cache.options.prefix}:test"
    return cache.put({key: b"1"}, 60) and cache.get([key]) == [b"1"]


def test_it_serves_a_user_who_has_only_the_rights_that_are_documented(redis_server):
    with opened(redis_server.fresh_url()) as cache:
        assert serves(cache)
        cache.drop([f"{cache.options.prefix}:test"])
        assert not cache.counts.cache_errors


def test_it_serves_over_tls(redis_with_tls):
    with opened(redis_with_tls.fresh_url()) as cache:
        assert serves(cache)


def test_a_certificate_of_an_unknown_authority_is_not_trusted(redis_with_tls):
    address = parse_cache_url(redis_with_tls.fresh_url()).address._replace(ca=None)
    with Cache(RedisStore(address, timeout_ms=5000)) as cache:
        assert not serves(cache)


def test_killed_in_the_middle_of_a_flow_it_costs_nothing_but_time(redis_server, tmp_path, caplog):
    """Killed, started again (empty), flushed: the tables are those of a flow without it."""
    events = {
        5: redis_server.kill,
        10: redis_server.start,
        15: redis_server.flush,
        18: redis_server.stop,
        20: redis_server.start,
    }
    objects = [
        indexed(f"1.4.{n % 7}", version=n * 7 % 11 + 1, trace_id=f"trace-{n}", study=f"1.2.{n % 2}")
        for n in range(25)
    ]
    clock = Clock()
    plain = Settings(dicom_pipeline_home=tmp_path / "plain")
    settings = Settings(dicom_pipeline_home=tmp_path / "cached")
    with (
        open_catalog(plain) as expected,
        open_catalog(settings) as catalog,
        opened(redis_server.fresh_url(), clock) as cache,
    ):
        expected.migrate()
        catalog.migrate()
        cached = CachedCatalog(catalog, cache, settings)
        for number, item in enumerate(objects):
            events.get(number, lambda: None)()
            clock.seconds += 100
            expected.index([item])
            cached.index([item])
        assert serves(cache)
        assert contents(cached) == contents(expected)
    assert cache.counts.cache_spared_rows
    assert cache.counts.cache_errors
    warnings = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert len(warnings) == 2, "once an outage"
    assert PASSWORD not in caplog.text


def test_a_dead_redis_costs_a_run_next_to_nothing(redis_server):
    url = redis_server.fresh_url(timeout_ms=100)
    redis_server.kill()
    try:
        with opened(url) as cache:
            started = time.perf_counter()
            for _ in range(1000):
                assert not serves(cache)
            assert time.perf_counter() - started < 5
            assert cache.counts.cache_errors == 1000
    finally:
        redis_server.start()


def test_a_frozen_redis_costs_a_run_one_timeout(redis_server):
    with opened(redis_server.fresh_url(timeout_ms=300)) as cache, redis_server.frozen():
        started = time.perf_counter()
        for _ in range(100):
            assert not serves(cache)
        assert 0.2 < time.perf_counter() - started < 5


def test_it_is_found_again_after_a_pause(redis_server):
    clock = Clock()
    with opened(redis_server.fresh_url(), clock) as cache:
        redis_server.kill()
        assert not serves(cache)
        redis_server.start()
        assert not serves(cache), "it is left alone"
        clock.seconds += 1
        assert serves(cache)


def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(redis_server):
    clock = Clock()
    with opened(redis_server.fresh_url(timeout_ms=200), clock) as cache:
        one, other = f"{cache.options.prefix}:one", f"{cache.options.prefix}:other"
        cache.put({one: b"1", other: b"2"}, 60)
        with redis_server.frozen():
            assert cache.get([one]) == [None]
        clock.seconds += 100
        assert cache.get([other]) == [b"2"]


@pytest.mark.parametrize(
    "wrong", [{"password": "wrong"}, {"user": "nobody"}, {"prefix": "not-ours"}]
)
def test_a_redis_that_refuses_is_as_good_as_none(redis_server, wrong, caplog):
    with opened(
        redis_server.url(**{"prefix": "test-refused", "timeout_ms": 5000, **wrong})
    ) as cache:
        assert not serves(cache)
        assert cache.counts.cache_errors
    assert PASSWORD not in caplog.text


def test_a_redis_that_is_full_is_as_good_as_none(redis_server):
    with redis_server.admin() as client:
        client.config_set("maxmemory", 1)
        try:
            with opened(redis_server.fresh_url()) as cache:
                assert not serves(cache)
        finally:
            client.config_set("maxmemory", 0)


@contextmanager
def server_that_says(answer: bytes):
    """A TCP server that has one answer for everything."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(4096)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{listener.getsockname()[1]}?timeout_ms=500"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        b"\x00\xff" * 100,
        b"+OK\r\n" * 20,
        b":1\r\n" * 20,
        b"*-1\r\n" * 20,
        b"%1\r\n+a\r\n+b\r\n" * 20,
        b"$99999999999999\r\n",
    ],
)
def test_what_is_no_redis_is_as_good_as_none(answer):
    with server_that_says(answer) as url, opened(url) as cache:
        assert cache.get(["a", "b"]) == [None, None]
        assert cache.counts.cache_errors


def test_nobody_at_the_address_is_no_reason_to_fail_at_the_start():
    settings = Settings(cache_url="redis://127.0.0.1:1/0")
    with open_cache(settings) as cache:
        assert not serves(cache)
        assert isinstance(cache._store, RedisStore)
    with open_cache(Settings()) as cache:
        assert isinstance(cache._store, MemoryStore)
