"""The store in process: bounded, and it keeps what is used."""

from dicom_pipeline.cache.stores import MemoryStore


def test_the_least_recently_used_values_make_room():
    store = MemoryStore(max_bytes=3 * 11)
    store.put(dict.fromkeys("abc", b"0123456789"), 60)
    store.get(["a"])
    store.put({"d": b"0123456789"}, 60)
    assert [value is not None for value in store.get(list("abcd"))] == [True, False, True, True]


def test_it_holds_no_more_bytes_than_it_may_whatever_is_put():
    store = MemoryStore(max_bytes=100)
    for number in range(1000):
        store.put({str(number % 7): b"x" * (number % 150)}, 60)
        held = sum(len(key) + len(entry.value) for key, entry in store._entries.items())
        assert held == store._bytes <= 100


def test_what_has_ended_no_longer_counts():
    now = 0.0
    store = MemoryStore(max_bytes=100, now=lambda: now)
    store.put({"a": b"x" * 50}, 10)
    now = 9.9
    assert store.get(["a"]) == [b"x" * 50]
    now = 10.0
    assert store.get(["a"]) == [None]
    assert store._bytes == 0


def test_reading_does_not_make_a_value_live_longer():
    now = 0.0
    store = MemoryStore(now=lambda: now)
    store.put({"a": b"x"}, 10)
    for now in (3.0, 6.0, 9.0):  # noqa: B007 - the store's clock
        assert store.get(["a"]) == [b"x"]
    now = 11.0
    assert store.get(["a"]) == [None]
