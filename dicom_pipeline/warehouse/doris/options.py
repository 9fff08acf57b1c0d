"""What ``WAREHOUSE_URL`` says: ``doris://user:password@fe1:9030,fe2:9030/database?option=value``."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, unquote

from dicom_pipeline.errors import ConfigurationError

SCHEME: Final = "doris"

_SETTING: Final = "WAREHOUSE_URL"
_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<path>[^?#]*)"
    r"(?:\?(?P<query>[^#]*))?(?:#.*)?"
)
"""As RFC 3986 appendix B: ``urlsplit`` of newer Pythons refuses hosts before an IPv6 address."""
_DATABASE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_ROUTINE_LOAD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_HOST: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<name>[^:\[\]]+))(?::(?P<port>\d+))?")
_MOST_DAYS: Final = 490
"""One partition a day: little less than ``max_dynamic_partition_num`` of a frontend."""
_GENERATION: Final = re.compile(r"[A-Za-z0-9]{1,16}")


@dataclass(frozen=True, order=True)
class Address:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True)
class DorisOptions:
    """One warehouse in Doris. Its text never shows the password."""

    frontends: tuple[Address, ...]
    """Addresses of the frontends' MySQL protocol, in the order in which they are tried."""
    user: str
    password: str = field(repr=False)
    database: str
    http_port: int = 8030
    https: bool = False
    mysql_tls: bool = False
    tls_ca: Path | None = None
    trusted_hosts: frozenset[str] = frozenset()
    connect_seconds: float = 10
    query_seconds: float = 300
    load_seconds: float = 600
    batch_bytes: int = 64 << 20
    json_bytes: int = 1 << 20
    generation: str = ""
    replicas: int = 3
    buckets: int = 10
    retention_days: int | None = None
    routine_load: str = "dicom_routine_load"
    kafka_broker_list: str = ""
    """The brokers as Doris reaches them; empty: those of ``EVENT_LOG_URL``."""
    desired_concurrent_number: int = 3
    max_batch_interval: int = 10
    max_batch_rows: int = 300_000
    max_batch_size: int = 200 << 20
    max_error_number: int = 0

    def __str__(self) -> str:
        return f"warehouse {SCHEME}://{','.join(map(str, self.frontends))}/{self.database}"


def parse_options(url: str) -> DorisOptions:
    """The options in a URL.

    Raises:
        ConfigurationError: it is malformed. The message never holds the URL's password.
    """
    parts = _URL.fullmatch(url)
    scheme = parts and parts["scheme"].lower()
    if parts is None or scheme != SCHEME:
        raise _wrong(f"the scheme is {scheme or ''!r}, not {SCHEME!r}")
    userinfo, _, hosts = parts["authority"].rpartition("@")
    user, _, password = userinfo.partition(":")
    database = unquote(parts["path"].removeprefix("/"))
    if not user:
        raise _wrong("it names no user")
    if not _DATABASE.fullmatch(database):
        raise _wrong("its path is no name of a database (letters, digits, underscores)")
    return DorisOptions(
        frontends=tuple(_address(host) for host in hosts.split(",")),
        user=unquote(user),
        password=unquote(password),
        database=database,
        **_options(parts["query"] or ""),  # type: ignore[arg-type]
    )


def _address(text: str) -> Address:
    match = _HOST.fullmatch(text)
    if not match:
        raise _wrong(f"{text!r} is no host:port of a frontend")
    return Address(match["v6"] or match["name"], int(match["port"] or 9030))


def _options(query: str) -> dict[str, object]:
    options: dict[str, object] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in OPTIONS:
            raise _wrong(f"it has no option {name!r}; there are {', '.join(OPTIONS)}")
        convert = OPTIONS[name]
        try:
            options[name] = convert(value)
        except ValueError as error:
            raise _wrong(f"option {name}: {error}") from None
    return options


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(
        f"{_SETTING}: {what}. "
        f"Write {SCHEME}://user:password@host:9030,host:9030/database?option=value"
    )


def _flag(value: str) -> bool:
    if value not in {"true", "false"}:
        raise ValueError("say true or false")
    return value == "true"


def _generation(value: str) -> str:
    if not _GENERATION.fullmatch(value):
        raise ValueError("say at most 16 letters and digits")
    return value


def _name(value: str) -> str:
    if not _ROUTINE_LOAD.fullmatch(value):
        raise ValueError("say a name of letters, digits and underscores")
    return value


def _brokers(value: str) -> str:
    if not all(_HOST.fullmatch(broker) for broker in value.split(",")):
        raise ValueError("say host:port,host:port")
    return value


def _within(low: int, high: int) -> Callable[[str], int]:
    def number(value: str) -> int:
        if not value.isascii() or not value.isdigit() or not low <= int(value) <= high:
            raise ValueError(f"say a whole number from {low} to {high}")
        return int(value)

    return number


def _seconds(value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0
    if not 0 < seconds < 86400:  # noqa: PLR2004 - a day
        raise ValueError("say a number of seconds, more than 0 and less than a day")
    return seconds


def _file(value: str) -> Path:
    if not Path(value).is_file():
        raise ValueError(f"there is no file {value}")
    return Path(value)


def _hosts(value: str) -> frozenset[str]:
    return frozenset(filter(None, value.split(",")))


OPTIONS: Final[Mapping[str, Callable[[str], object]]] = {
    "http_port": _within(1, 65535),
    "https": _flag,
    "mysql_tls": _flag,
    "tls_ca": _file,
    "trusted_hosts": _hosts,
    "connect_seconds": _seconds,
    "query_seconds": _seconds,
    "load_seconds": _seconds,
    "batch_bytes": _within(1 << 16, 1 << 30),
    "json_bytes": _within(1 << 10, 1 << 30),
    "generation": _generation,
    "replicas": _within(1, 16),
    "buckets": _within(1, 256),
    "retention_days": _within(1, _MOST_DAYS),
    "routine_load": _name,
    "kafka_broker_list": _brokers,
    "desired_concurrent_number": _within(1, 256),
    "max_batch_interval": _within(1, 3600),
    "max_batch_rows": _within(200_000, 1 << 31),
    "max_batch_size": _within(100 << 20, 10 << 30),
    "max_error_number": _within(0, 1 << 31),
}
"""Each option of the URL (``docs/doris.md`` explains them), and how its text is read."""
