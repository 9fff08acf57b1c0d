"""Which database the cache speaks of: what it knows of another one must never count."""

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from dicom_pipeline.cache import Cache
from dicom_pipeline.cache.keys import Keys, fingerprint
from dicom_pipeline.errors import PipelineError

Query = Callable[[str], list[dict[str, object]]]

_MIGRATIONS: Final = "SELECT number, checksum, applied_at FROM schema_migration ORDER BY number"


class Database:
    """A database by where it is and when its tables were made.

    Tables that were dropped and made anew are another database. It is asked once.

    Args:
        cache: whose options say what the keys begin with.
        url: the database's; its user and password do not count.
        query: asks the database.
    """

    def __init__(self, cache: Cache, url: str, query: Query) -> None:
        self._prefix = cache.options.prefix
        self._place = _place(url)
        self._query = query
        self._keys: Keys | None = None

    def keys(self) -> Keys | None:
        """The keys of this database; None while it does not tell what it is."""
        if self._keys is None:
            try:
                rows = self._query(_MIGRATIONS)
            except PipelineError:
                return None
            if rows:
                told = [repr(sorted(row.items())) for row in rows]
                self._keys = Keys(self._prefix, fingerprint(self._place, *told))
        return self._keys


def _place(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname or ''}:{parts.port or ''}{parts.path}"
