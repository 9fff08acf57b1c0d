"""One SQL database behind SQLAlchemy: transactions, migrations, and errors in our own terms."""

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Self

from sqlalchemy import Connection, create_engine, event, make_url, text
from sqlalchemy.exc import SQLAlchemyError, StatementError

from dicom_pipeline.errors import ConfigurationError, PermanentError, PipelineError, TransientError
from dicom_pipeline.migrations import Migration, load_migrations, pending
from dicom_pipeline.sqlite_access import explained, switch_to_wal

_BUSY_TIMEOUT_MS: Final = 30_000
_READ_ONLY: Final = "read_only"

_CREATE_SCHEMA_MIGRATION: Final = """
CREATE TABLE IF NOT EXISTS schema_migration (
    number     INTEGER NOT NULL PRIMARY KEY,
    name       VARCHAR(128) NOT NULL,
    checksum   VARCHAR(64) NOT NULL,
    applied_at VARCHAR(32) NOT NULL
)
"""
_RECORD_MIGRATION: Final = text(
    "INSERT INTO schema_migration (number, name, checksum, applied_at)"
    " VALUES (:number, :name, :checksum, :applied_at)"
)


class SqlDatabase:
    """A database by its URL; ``purpose`` (``catalog``, ``warehouse``) names it in errors.

    Errors never carry SQL parameters: they hold patient data.
    """

    def __init__(self, url: str, purpose: str) -> None:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite" or not parsed.database:
            raise ConfigurationError(
                f"{purpose}: {parsed.render_as_string()} is not the URL of a SQLite file"
            )
        self._name = f"{purpose} {parsed.render_as_string()}"
        self._purpose = purpose
        self._folder = Path(parsed.database).parent
        self._engine = create_engine(parsed, hide_parameters=True)
        event.listen(self._engine, "connect", _set_up_sqlite)
        event.listen(self._engine, "begin", _begin_sqlite)
        self._reader = self._engine.execution_options(**{_READ_ONLY: True})

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that may write; it holds the write lock from its start.

        Raises:
            TransientError: the database is locked, away or not migrated, or its disk is full.
            PermanentError: the database refused what it was told.
        """
        with self._in_our_terms(reading=False), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One transaction that sees one state of the database and is refused every write."""
        with self._in_our_terms(reading=True), self._reader.begin() as connection:
            yield connection

    def query(self, sql: str, parameters: Mapping[str, object]) -> list[dict[str, object]]:
        """Rows of a SELECT with ``:name`` parameters; a statement that writes is refused."""
        with self.read() as connection:
            result = connection.execute(text(sql), dict(parameters))
            return [dict(row) for row in result.mappings()]

    def migrate(self) -> list[str]:
        """Apply the missing migrations of this purpose and return their names.

        All in one transaction: two processes may call this at once, and a migration that fails
        leaves nothing behind.

        Raises:
            ConfigurationError: see `migrations.pending`.
        """
        migrations = load_migrations(self._engine.dialect.name, self._purpose)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TransientError(f"{self._name}: cannot create its folder: {error}") from error
        with self.write() as connection:
            return _apply(connection, migrations)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    @contextmanager
    def _in_our_terms(self, *, reading: bool) -> Iterator[None]:
        try:
            yield
        except StatementError as error:
            raise self._error(error.orig or error, reading=reading) from error.orig
        except SQLAlchemyError as error:
            raise PermanentError(f"{self._name}: {type(error).__name__}: {error}") from None
        except (OverflowError, UnicodeEncodeError) as error:
            # Raised by the driver while it binds a value; UnicodeEncodeError quotes the text.
            raise PermanentError(
                f"{self._name}: a value does not fit its column ({type(error).__name__})"
            ) from None

    def _error(self, cause: BaseException, *, reading: bool) -> PipelineError:
        if reading and getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY:
            return PermanentError(f"{self._name}: {cause}: a query may only read")
        return explained(cause, self._name) or PermanentError(f"{self._name}: {cause}")


class SqlStore:
    """What every port over one SQL database has in common."""

    def __init__(self, database: SqlDatabase) -> None:
        self._database = database

    def query(self, sql: str, **parameters: object) -> list[dict[str, object]]:
        return self._database.query(sql, parameters)

    def migrate(self) -> list[str]:
        return self._database.migrate()

    def close(self) -> None:
        self._database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own transaction control begins too late for what is read before a write
    # (SQLAlchemy, "Serializable isolation / Savepoints / Transactional DDL"): see _begin_sqlite.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    switch_to_wal(connection, _BUSY_TIMEOUT_MS / 1000)
    # A run that reports success takes its range off the ledger, so its rows must survive a
    # loss of power: NORMAL would not sync the write-ahead log at commit.
    connection.execute("PRAGMA synchronous = FULL")


def _begin_sqlite(connection: Connection) -> None:
    read_only = bool(connection.get_execution_options().get(_READ_ONLY))
    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _apply(connection: Connection, migrations: list[Migration]) -> list[str]:
    connection.exec_driver_sql(_CREATE_SCHEMA_MIGRATION)
    rows = connection.execute(text("SELECT number, checksum FROM schema_migration"))
    missing = pending(migrations, {row.number: row.checksum for row in rows})
    for migration in missing:
        for statement in migration.statements():
            connection.exec_driver_sql(statement)
        connection.execute(
            _RECORD_MIGRATION,
            {
                "number": migration.number,
                "name": migration.name,
                "checksum": migration.checksum,
                "applied_at": datetime.now(UTC).isoformat(timespec="seconds"),
            },
        )
    return [migration.name for migration in missing]
