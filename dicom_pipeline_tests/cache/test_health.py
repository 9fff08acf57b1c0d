"""What the doctor is told of the configured cache."""

import pytest

from dicom_pipeline.cache.health import check_cache
from dicom_pipeline.settings import Settings
from dicom_pipeline_tests.services.redis import PASSWORD, USER


def health(url):
    told = check_cache(Settings(cache_url=url))
    assert PASSWORD not in repr(told)
    assert USER not in repr(told)
    return told


def test_the_cache_in_process_has_no_problem():
    told = health("")
    assert (told.found, told.problem, told.remedy) == ("in process", "", "")


def test_a_setting_that_is_wrong_is_a_problem():
    assert "no option" in health("redis://h?speed=high").problem


def test_nobody_there_is_a_problem_with_a_remedy():
    told = health("redis://127.0.0.1:1/0")
    assert "does not answer" in told.problem
    assert "CACHE_URL" in told.remedy
    assert told.where == "redis://127.0.0.1:1/0"


@pytest.mark.service
def test_a_redis_that_serves_tells_version_and_latency(redis_server):
    told = health(redis_server.fresh_url())
    assert not told.problem
    assert told.version.startswith(("6.", "7.", "8."))
    assert told.latency_ms > 0
    assert told.version in told.found


@pytest.mark.service
def test_it_leaves_nothing_behind(redis_server):
    health(redis_server.fresh_url())
    with redis_server.admin() as client:
        assert client.keys("*doctor*") == []


@pytest.mark.service
def test_rights_that_are_missing_are_named(redis_server):
    told = health(redis_server.url(prefix="not-ours"))
    assert told.missing_rights == ("SET", "MGET", "DEL")
    assert "~not-ours:*" in told.remedy


@pytest.mark.service
def test_a_wrong_password_is_told_apart_from_a_redis_that_is_away(redis_server):
    assert "refuses user or password" in health(redis_server.url(password="wrong")).problem


@pytest.mark.service
def test_a_certificate_that_is_not_trusted_is_told(redis_with_tls):
    url = redis_with_tls.fresh_url()
    assert not health(url).problem
    assert "certificate" in health(url.partition("?")[0]).problem


@pytest.mark.service
def test_a_full_redis_is_told(redis_server):
    with redis_server.admin() as client:
        client.config_set("maxmemory", 1)
        try:
            assert "full" in health(redis_server.fresh_url()).problem
        finally:
            client.config_set("maxmemory", 0)


@pytest.mark.service
def test_a_redis_slower_than_the_runs_wait_is_told(redis_server, monkeypatch):
    monkeypatch.setattr("dicom_pipeline.cache.health._latency_ms", lambda _: 150.0)
    told = health(redis_server.fresh_url(timeout_ms=100))
    assert "slower than timeout_ms=100" in told.problem
