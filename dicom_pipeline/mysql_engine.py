"""MySQL 8 or MariaDB behind SQLAlchemy and PyMySQL.

Transactions that write run at READ COMMITTED: the default level locks the gaps between rows as
well, which lets writers of different objects wait for each other and deadlock; and a count that is
taken after waiting for a lock must see what the lock's last holder has committed, not the state
before the wait.
"""

import ssl
from typing import Final

from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event

from dicom_pipeline import mysql_errors
from dicom_pipeline.errors import ConfigurationError, PipelineError
from dicom_pipeline.migrations import Migration
from dicom_pipeline.mysql_migrations import apply
from dicom_pipeline.sqlite_engine import READ_ONLY

_OPTIONS: Final[dict[str, object]] = {
    "connect_timeout": 10,
    "read_timeout": 120,
    "write_timeout": 60,
}
"""Seconds: to connect, and to wait for a network that stands still. The URL may say otherwise."""
_TLS_OPTIONS: Final = ("ssl_ca", "ssl_capath", "ssl_cert", "ssl_key", "ssl_cipher")
_KNOWN: Final = frozenset({*_OPTIONS, *_TLS_OPTIONS, "ssl_check_hostname"})

_RECYCLE_SECONDS: Final = 1800
"""Older connections are replaced: servers and firewalls cut what is idle for hours."""

_SET_UP: Final = (
    # Strict: a value that does not fit is refused, never cut. The server's own mode may differ.
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
    "innodb_lock_wait_timeout = 30, lock_wait_timeout = 60"
)

_MODE: Final = "transaction_mode"
_READING: Final = "ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_WRITING: Final = "ISOLATION LEVEL READ COMMITTED, READ WRITE"


class MysqlEngine:
    """See `sql_engine.Backend`. ``url``: ``mysql+pymysql://user:password@host:3306/database``."""

    def __init__(self, url: URL, name: str) -> None:
        _check(url, name)
        self._url = url
        self._name = name
        self.engine: Engine = create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            pool_recycle=_RECYCLE_SECONDS,
            max_overflow=-1,
            connect_args=_connect_args(url),
        )
        event.listen(self.engine, "begin", _begin)

    def explained(self, error: BaseException, *, reading: bool, lost: bool) -> PipelineError:
        """The driver's error in our terms."""
        return mysql_errors.explained(error, self._name, reading=reading, lost=lost)

    def migrate(self, migrations: list[Migration]) -> list[str]:
        """Statement by statement, under a lock: see `mysql_migrations`."""
        # To change a large table takes as long as it takes.
        patient = create_engine(
            self._url,
            hide_parameters=True,
            isolation_level="AUTOCOMMIT",
            poolclass=NullPool,
            connect_args={**_connect_args(self._url), "read_timeout": None},
        )
        with patient.connect() as connection:
            return apply(connection, migrations, self._name)


def _connect_args(url: URL) -> dict[str, object]:
    arguments = {key: value for key, value in _OPTIONS.items() if key not in url.query}
    if url.password:
        # PyMySQL itself would take it for Latin-1.
        arguments["password"] = str(url.password).encode()
    return {**arguments, "charset": "utf8mb4", "init_command": _SET_UP}


def _check(url: URL, name: str) -> None:
    if url.get_driver_name() != "pymysql" or not url.database or not url.host:
        raise ConfigurationError(f"{name}: write mysql+pymysql://user:password@host:3306/database")
    unknown = url.query.keys() - _KNOWN
    if unknown:
        raise ConfigurationError(
            f"{name}: unknown option {min(unknown)}; there are {', '.join(sorted(_KNOWN))}"
        )
    _check_tls(url, name)


def _check_tls(url: URL, name: str) -> None:
    """Read the files now: the driver would only say which system call failed."""
    given = {key: str(url.query[key]) for key in _TLS_OPTIONS if key in url.query}
    if not given:
        return
    try:
        context = ssl.create_default_context(
            cafile=given.get("ssl_ca"), capath=given.get("ssl_capath")
        )
        if "ssl_cert" in given:
            context.load_cert_chain(given["ssl_cert"], given.get("ssl_key"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{name}: the files of the TLS options cannot be used ({type(error).__name__}: "
            f"{error}): check that they are there, readable, and in PEM"
        ) from error


def _begin(connection: Connection) -> None:
    """Let the session have the mode of the transaction that begins.

    READ ONLY of the session, not of the transaction: a DDL statement commits the transaction before
    it is looked at.
    """
    mode = _READING if connection.get_execution_options().get(READ_ONLY) else _WRITING
    if connection.info.get(_MODE) != mode:
        connection.exec_driver_sql(f"SET SESSION TRANSACTION {mode}")
        connection.info[_MODE] = mode
