"""What the setting may say, and what is said of a setting that is wrong."""

from pathlib import Path

import pytest

from dicom_pipeline.cache import open_cache
from dicom_pipeline.cache.options import CacheOptions, parse_cache_url
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings


def test_nothing_means_in_process():
    assert parse_cache_url("") == CacheOptions()
    with open_cache(Settings()) as cache:
        assert not cache.shared


def test_a_url_names_host_port_database_user_and_password():
    address = parse_cache_url("redis://me:p%40ss%2Fword@cache.hospital:6380/3").address
    assert (address.host, address.port, address.database) == ("cache.hospital", 6380, 3)
    assert (address.user, address.password, address.tls) == ("me", "p@ss/word", False)


def test_what_a_url_leaves_out_has_defaults():
    options = parse_cache_url("redis://cache.hospital")
    assert options.address[:5] == ("cache.hospital", 6379, 0, None, None)
    assert options._replace(address=None) == CacheOptions()


def test_a_password_may_stand_without_a_user():
    address = parse_cache_url("redis://:secret@cache.hospital").address
    assert (address.user, address.password) == (None, "secret")


def test_the_query_holds_options(tmp_path):
    ca = tmp_path / "ca.pem"
    ca.touch()
    options = parse_cache_url(
        f"rediss://h/0?ca={ca}&prefix=north&timeout_ms=50&write_ttl=60&read_ttl=0"
    )
    assert options.address.ca == Path(ca)
    assert options.address.tls
    assert options[1:] == ("north", 50, 60, 0)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("memcached://me:hunter2@h", "neither redis:// nor rediss://"),
        ("redis://", "no host"),
        ("redis://me:hunter2@h:port/0", "no URL"),
        ("redis://me:hunter2@h:99999/0", "no URL"),
        ("redis://me:hunter2@h/first", "number of a database"),
        ("redis://me:hunter2@h/0?timeout=3", "no option 'timeout'"),
        ("redis://me:hunter2@h/0?timeout_ms=fast", "timeout_ms is a whole number from 1"),
        ("redis://me:hunter2@h/0?timeout_ms=0", "timeout_ms is a whole number from 1"),
        ("redis://me:hunter2@h/0?read_ttl=-1", "read_ttl is a whole number from 0"),
        ("redis://me:hunter2@h/0?prefix=", "prefix is empty"),
        ("redis://me:hunter2@h/0?ca=/etc/passwd", "ca needs rediss://"),
        ("rediss://me:hunter2@h/0?ca=/no/such/file", "/no/such/file is no file"),
        ("redis://me:hunter2@h/0?prefix", "no URL"),
    ],
)
def test_a_setting_that_is_wrong_is_refused_with_the_reason_and_without_the_password(url, said):
    with pytest.raises(ConfigurationError, match=said) as refusal:
        open_cache(Settings(cache_url=url))
    assert "hunter2" not in str(refusal.value)


def test_an_address_is_told_without_user_and_password():
    address = parse_cache_url("rediss://me:hunter2@cache.hospital/1").address
    assert str(address) == "rediss://cache.hospital:6379/1"
