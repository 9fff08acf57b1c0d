"""What ``CACHE_URL`` says: where the cache is, and how it is used."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from dicom_pipeline.errors import ConfigurationError

SCHEMES: Final = ("redis", "rediss")
DEFAULT_PORT: Final = 6379

_NUMBERS: Final[Mapping[str, tuple[int, int]]] = {
    "timeout_ms": (1, 60_000),
    "write_ttl": (1, 86_400),
    "read_ttl": (0, 3_600),
}
"""Options that are integers, and between what."""
_TEXTS: Final = ("ca", "prefix")


class RedisAddress(NamedTuple):
    """Where a Redis is, and who we are there."""

    host: str
    port: int
    database: int
    user: str | None
    password: str | None
    tls: bool
    ca: Path | None
    """PEM file of the authorities that its certificate may come from; None: the system's."""

    def __str__(self) -> str:
        """For people: without user and password."""
        return f"{'rediss' if self.tls else 'redis'}://{self.host}:{self.port}/{self.database}"


class CacheOptions(NamedTuple):
    """How the cache is used."""

    address: RedisAddress | None = None
    """None: in process."""
    prefix: str = "dicom-pipeline"
    """What every key begins with."""
    timeout_ms: int = 100
    """How long Redis may take to accept a connection, or to answer."""
    write_ttl: int = 600
    """Seconds for which it is known what was written."""
    read_ttl: int = 30
    """Seconds for which an answer of the catalog is kept; 0: not at all."""


def parse_cache_url(url: str) -> CacheOptions:
    """The options of ``CACHE_URL``; the empty one means in process.

    Raises:
        ConfigurationError: the URL cannot be understood; the message holds no password.
    """
    if not url:
        return CacheOptions()
    try:
        parts = urlsplit(url)
        given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        address = _address(parts, dict(given))
    except ValueError:
        raise _wrong("it is no URL (quote '/', '@', ':' in a password as %2F, %40, %3A)") from None
    for name, _ in given:
        if name not in {*_NUMBERS, *_TEXTS}:
            raise _wrong(f"no option {name!r}; there are {', '.join((*_TEXTS, *_NUMBERS))}")
    texts = dict(given)
    numbers = {name: _number(name, texts[name]) for name in _NUMBERS if name in texts}
    prefix = texts.get("prefix", CacheOptions().prefix)
    if not prefix:
        raise _wrong("the option prefix is empty")
    return CacheOptions(address, prefix, **numbers)


def _address(parts: SplitResult, options: Mapping[str, str]) -> RedisAddress:
    if parts.scheme not in SCHEMES:
        raise _wrong("it begins with neither redis:// nor rediss:// (leave it empty: in process)")
    if not parts.hostname:
        raise _wrong("it names no host")
    tls = parts.scheme == "rediss"
    ca = Path(options["ca"]) if options.get("ca") else None
    if ca and not tls:
        raise _wrong("the option ca needs rediss://")
    if ca and not ca.is_file():
        raise _wrong(f"{ca} is no file: give the PEM file of the authority in the option ca")
    database = parts.path.strip("/") or "0"
    if not database.isdecimal():
        raise _wrong("what follows the host is the number of a database, e.g. /0")
    return RedisAddress(
        host=parts.hostname,
        port=parts.port or DEFAULT_PORT,
        database=int(database),
        user=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=tls,
        ca=ca,
    )


def _number(name: str, text: str) -> int:
    low, high = _NUMBERS[name]
    if not text.isdecimal() or not low <= int(text) <= high:
        raise _wrong(f"the option {name} is a whole number from {low} to {high}")
    return int(text)


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(f"CACHE_URL: {what}")
