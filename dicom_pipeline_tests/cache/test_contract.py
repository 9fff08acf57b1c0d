"""What every cache promises, wherever it keeps its values."""

import time

import pytest


@pytest.fixture
def key(cache):
    """A key of ours from a short name."""
    return lambda name: f"{cache.options.prefix}:{name}"


def test_what_was_put_is_got_in_the_order_asked_for(cache, key):
    assert cache.put({key("a"): b"1", key("b"): b"\x00\xff"}, 60)
    assert cache.get([key("b"), key("c"), key("a")]) == [b"\x00\xff", None, b"1"]


def test_an_empty_value_is_a_value(cache, key):
    cache.put({key("a"): b""}, 60)
    assert cache.get([key("a")]) == [b""]


def test_a_later_value_replaces_an_earlier_one(cache, key):
    cache.put({key("a"): b"1"}, 60)
    cache.put({key("a"): b"2"}, 60)
    assert cache.get([key("a")]) == [b"2"]


def test_a_value_ends_with_its_time(cache, key):
    cache.put({key("short"): b"1"}, 0.05)
    cache.put({key("long"): b"2"}, 60)
    time.sleep(0.1)
    assert cache.get([key("short"), key("long")]) == [None, b"2"]


def test_a_value_that_is_to_be_kept_for_no_time_is_not_kept(cache, key):
    assert not cache.put({key("a"): b"1"}, 0)
    assert cache.get([key("a")]) == [None]


def test_what_is_dropped_is_gone(cache, key):
    cache.put({key("a"): b"1", key("b"): b"2"}, 60)
    cache.drop([key("a"), key("never there")])
    assert cache.get([key("a"), key("b")]) == [None, b"2"]


def test_nothing_to_do_is_no_error(cache):
    assert cache.get([]) == []
    assert not cache.put({}, 60)
    cache.drop([])
    assert not any(cache.figures().values())


def test_thousands_of_values_go_at_a_time(cache, key):
    values = {key(str(number)): str(number).encode() for number in range(2500)}
    cache.put(values, 60)
    assert cache.get(list(values)) == list(values.values())
    cache.drop(list(values))
    assert cache.get(list(values)) == [None] * 2500


@pytest.mark.parametrize("odd", ["with space", "ünïcode 检查", "new\nline", "*?[a]", "a" * 5000])
def test_any_text_is_a_key(cache, key, odd):
    cache.put({key(odd): b"1"}, 60)
    assert cache.get([key(odd)]) == [b"1"]


def test_hits_and_misses_are_counted(cache, key):
    cache.put({key("a"): b"1"}, 60)
    cache.get([key("a"), key("b"), key("c")])
    assert (cache.counts.cache_hits, cache.counts.cache_misses) == (1, 2)
    assert not cache.counts.cache_errors


@pytest.mark.parametrize("garbage", [b"", b"1", b"not what was put", b"\x00" * 100])
def test_what_nobody_has_put_is_no_value(cache, key, garbage):
    cache._store.put({key("a"): garbage}, 60)
    assert cache.get([key("a")]) == [None]
    assert (cache.counts.cache_misses, cache.counts.cache_errors) == (1, 1)


def test_the_value_of_another_key_is_no_value(cache, key):
    cache.put({key("a"): b"1"}, 60)
    cache._store.put({key("b"): cache._store.get([key("a")])[0]}, 60)
    assert cache.get([key("a"), key("b")]) == [b"1", None]
