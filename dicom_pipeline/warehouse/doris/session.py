"""Statements over the MySQL protocol, at whichever frontend answers."""

import contextlib
import ssl
import threading
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, TypeVar

import pymysql
from pymysql.cursors import DictCursor

from dicom_pipeline.errors import ConfigurationError, PermanentError, PipelineError, TransientError
from dicom_pipeline.warehouse.doris.binding import client_format, client_values
from dicom_pipeline.warehouse.doris.options import Address, DorisOptions

T = TypeVar("T")

SET_TIME_ZONE: Final = "SET time_zone = '+00:00'"
"""Begins every connection: our times are UTC."""

_UNKNOWN_DATABASE: Final = 1049
_CONNECTION_LOST: Final = 2013
_DENIED: Final = frozenset({1044, 1045, 1227})
_GONE: Final = frozenset({0, 1053, 1152, 1184, 2002, 2003, 2006, 2013, 2014, 2055})
"""Codes of the client and of a frontend that stops: another frontend may answer."""
_AWAY: Final = (
    "no available",
    "no alive",
    "not enough backend",
    "backend",
    "timeout",
    "timed out",
    "mem_limit",
    "memory",
    "too many",
    "queue",
    "not ready",
    "not master",
    "rpc",
    "connection",
)
"""What a frontend says, in any case of letters, of what may pass by itself."""
_REPLICAS: Final = "replication num"
_NOT_MIGRATED: Final = ("does not exist", "unknown table", "unknown database")
_SHOWN: Final = 500


class _UnknownDatabaseError(TransientError):
    """The database of the URL is not there yet."""


class Session:
    """One connection at a time, shared by the threads of a process and replaced when it is lost.

    Errors never carry the password or the values of parameters.
    """

    def __init__(self, options: DorisOptions) -> None:
        self._options = options
        self._lock = threading.RLock()
        self._connection: pymysql.Connection[DictCursor] | None = None
        self._first = 0

    def query(self, sql: str, parameters: Mapping[str, object]) -> list[dict[str, object]]:
        """Rows of a statement with ``:name`` parameters, their values as every warehouse has them.

        Asked again at the next frontend when a connection is lost.

        Raises:
            TransientError: no frontend answers, or the tables are not there yet.
            ConfigurationError: the user may not do it, or there is no such database.
            PermanentError: the statement is refused.
        """

        def ask(cursor: DictCursor) -> list[dict[str, object]]:
            cursor.execute(client_format(sql), client_values(parameters))
            return [{name: _portable(value) for name, value in row.items()} for row in cursor]

        return self._at_any_frontend(ask, parameters)

    def execute(self, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        """Run a statement that may be repeated: it is, when the connection is lost."""
        self.query(sql, parameters or {})

    def ensure_database(self) -> None:
        """Create the database of the URL if it is not there: only then is the right needed."""
        with self._lock:
            self.close()
            try:
                self._connection = self._connect()
            except _UnknownDatabaseError:
                self._connection = self._connect(database=False)
                self.execute(create_database(self._options))
                self.close()

    def close(self) -> None:
        """Close the connection; the next statement opens another."""
        with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                with contextlib.suppress(pymysql.Error, OSError):
                    connection.close()

    def _at_any_frontend(
        self, ask: Callable[[DictCursor], T], parameters: Mapping[str, object]
    ) -> T:
        with self._lock:
            for attempt in range(len(self._options.frontends) + 1):
                try:
                    if self._connection is None:
                        self._connection = self._connect()
                    with self._connection.cursor(DictCursor) as cursor:
                        return ask(cursor)
                except (pymysql.MySQLError, OSError) as error:
                    lost = _is_lost(error)
                    if lost:
                        self.close()
                    last = attempt == len(self._options.frontends)
                    if not lost or last or _took_too_long(error):
                        raise self._explained(error, parameters) from None
            raise AssertionError

    def _connect(self, *, database: bool = True) -> "pymysql.Connection[DictCursor]":
        """A connection to the first frontend that answers, beginning with the last that did."""
        frontends = self._options.frontends
        refusals: list[str] = []
        for step in range(len(frontends)):
            number = (self._first + step) % len(frontends)
            try:
                connection = self._open(frontends[number], database=database)
            except (pymysql.MySQLError, OSError) as error:
                if not _is_lost(error):
                    raise self._explained(error, {}) from None
                refusals.append(f"{frontends[number]}: {_text(error)}")
            else:
                self._first = number
                return connection
        raise TransientError(
            f"{self._options}: no frontend answers ({'; '.join(refusals)}): "
            "check that they run and that their port is reachable"
        )

    def _open(self, address: Address, *, database: bool) -> "pymysql.Connection[DictCursor]":
        options = self._options
        return pymysql.connect(
            host=address.host,
            port=address.port,
            user=options.user,
            password=options.password,
            database=options.database if database else None,
            charset="utf8mb4",
            autocommit=True,
            connect_timeout=max(1, round(options.connect_seconds)),
            read_timeout=options.query_seconds,
            write_timeout=options.query_seconds,
            init_command=SET_TIME_ZONE,
            ssl=tls_context(options) if options.mysql_tls else None,
        )

    def _explained(self, error: Exception, parameters: Mapping[str, object]) -> PipelineError:
        code, text = _code(error), _without(parameters, _text(error))
        where = str(self._options)
        if _is_lost(error):
            return TransientError(f"{where}: the connection was lost: {text}")
        if code in _DENIED:
            return ConfigurationError(
                f"{where}: user {self._options.user}: {text}: check user, password and privileges"
            )
        if code == _UNKNOWN_DATABASE or any(said in text.lower() for said in _NOT_MIGRATED):
            kind = _UnknownDatabaseError if code == _UNKNOWN_DATABASE else TransientError
            return kind(f"{where}: {text}: run `dicom-pipeline migrate`")
        if _REPLICAS in text.lower():
            return ConfigurationError(
                f"{where}: {text}: start more backends, or set the option replicas of the URL"
            )
        if any(said in text.lower() for said in _AWAY):
            return TransientError(f"{where}: {text}")
        return PermanentError(f"{where}: {text}")


def create_database(options: DorisOptions) -> str:
    """The statement that creates the database of the URL."""
    return f"CREATE DATABASE IF NOT EXISTS `{options.database}`"


def tls_context(options: DorisOptions) -> ssl.SSLContext:
    """Verifies the servers by the authorities of ``tls_ca``, or by the system's."""
    return ssl.create_default_context(cafile=options.tls_ca)


def _is_lost(error: Exception) -> bool:
    return not isinstance(error, pymysql.MySQLError) or (
        isinstance(error, (pymysql.OperationalError, pymysql.InterfaceError))
        and _code(error) in _GONE
    )


def _took_too_long(error: Exception) -> bool:
    """Asked again, a slow statement would only keep the next frontend busy, too."""
    return isinstance(error, TimeoutError) or (
        _code(error) == _CONNECTION_LOST and "timed out" in str(error)
    )


def _code(error: Exception) -> int:
    code = error.args[0] if error.args else 0
    return code if isinstance(code, int) else 0


def _text(error: Exception) -> str:
    text = str(error.args[-1] if error.args else error) or type(error).__name__
    return " ".join(text.split())[:_SHOWN]


def _without(parameters: Mapping[str, object], text: str) -> str:
    for name, value in parameters.items():
        if str(value):
            text = text.replace(str(value), f":{name}")
    return text


def _portable(value: Any) -> object:  # noqa: ANN401 - whatever the client makes of a value
    """A value as every warehouse returns it: times as text in ISO 8601, numbers as numbers."""
    if isinstance(value, datetime):
        return f"{value.isoformat(timespec='microseconds')}Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value
