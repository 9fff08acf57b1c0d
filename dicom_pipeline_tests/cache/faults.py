"""A store with everything that can go wrong with one, at a word."""

from collections.abc import Mapping, Sequence

from dicom_pipeline.cache.stores import Store, StoreError


class FaultyStore:
    """Passes on to another store, unless told otherwise.

    ``away``: nothing is served. ``deaf``: what is put and dropped is lost without a word. ``late``:
    what is put arrives only with `deliver`. ``garbled``: what is got is not what was put.
    """

    shared = True

    def __init__(self, store: Store) -> None:
        self.fault = ""
        self._store = store
        self._known: set[str] = set()
        self._late: list[tuple[Mapping[str, bytes], float]] = []

    def get(self, keys: Sequence[str]) -> list[bytes | None]:
        self._fail()
        found = self._store.get(keys)
        if self.fault == "garbled":
            return [value and value[::-1] for value in found]
        if self.fault == "shifted":
            return [*found[1:], *found[:1]]
        return found

    def put(self, values: Mapping[str, bytes], seconds: float) -> None:
        self._fail()
        if self.fault == "late":
            self._late.append((values, seconds))
        elif self.fault != "deaf":
            self._known.update(values)
            self._store.put(values, seconds)

    def drop(self, keys: Sequence[str]) -> None:
        self._fail()
        if self.fault != "deaf":
            self._store.drop(keys)

    def close(self) -> None:
        self._store.close()

    def deliver(self) -> None:
        """What was late arrives, the last first."""
        while self._late:
            values, seconds = self._late.pop()
            self._known.update(values)
            self._store.put(values, seconds)

    def flush(self) -> None:
        """All values are gone."""
        self._store.drop(sorted(self._known))

    def _fail(self) -> None:
        if self.fault == "away":
            raise StoreError("away")


FAULTS = ("", "away", "deaf", "late", "garbled", "shifted")
