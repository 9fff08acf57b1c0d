"""A SQLite file behind SQLAlchemy."""

import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, text

from dicom_pipeline.errors import ConfigurationError, PermanentError, PipelineError, TransientError
from dicom_pipeline.migrations import CREATE_SCHEMA_MIGRATION, RECORD_MIGRATION, Migration, pending
from dicom_pipeline.sqlite_access import explained, switch_to_wal

_BUSY_TIMEOUT_MS: Final = 30_000
READ_ONLY: Final = "read_only"
"""Execution option of connections that only read."""


class SqliteEngine:
    """See `sql_engine.Backend`."""

    def __init__(self, url: URL, name: str) -> None:
        if not url.database:
            raise ConfigurationError(f"{name} is not the URL of a SQLite file")
        self._name = name
        self._folder = Path(url.database).parent
        self.engine: Engine = create_engine(url, hide_parameters=True)
        event.listen(self.engine, "connect", _set_up)
        event.listen(self.engine, "begin", _begin)

    def explained(self, error: BaseException, *, reading: bool, lost: bool) -> PipelineError:  # noqa: ARG002
        """The driver's error in our terms. A file's connection is never lost."""
        if reading and getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY:
            return PermanentError(f"{self._name}: {error}: a query may only read")
        return explained(error, self._name) or PermanentError(f"{self._name}: {error}")

    def migrate(self, migrations: list[Migration]) -> list[str]:
        """All in one transaction: a migration that fails leaves nothing behind."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise TransientError(f"{self._name}: cannot create its folder: {error}") from error
        with self.engine.begin() as connection:
            return _apply(connection, migrations)


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own transaction control begins too late for what is read before a write
    # (SQLAlchemy, "Serializable isolation / Savepoints / Transactional DDL"): see _begin.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")
    switch_to_wal(connection, _BUSY_TIMEOUT_MS / 1000)
    # A run that reports success takes its range off the ledger, so its rows must survive a
    # loss of power: NORMAL would not sync the write-ahead log at commit.
    connection.execute("PRAGMA synchronous = FULL")


def _begin(connection: Connection) -> None:
    read_only = bool(connection.get_execution_options().get(READ_ONLY))
    connection.exec_driver_sql(f"PRAGMA query_only = {'ON' if read_only else 'OFF'}")
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _apply(connection: Connection, migrations: list[Migration]) -> list[str]:
    connection.exec_driver_sql(CREATE_SCHEMA_MIGRATION)
    rows = connection.execute(text("SELECT number, checksum FROM schema_migration"))
    missing = pending(migrations, {row.number: row.checksum for row in rows})
    for migration in missing:
        for statement in migration.statements():
            connection.exec_driver_sql(statement)
        connection.execute(text(RECORD_MIGRATION), migration.record(datetime.now(UTC)))
    return [migration.name for migration in missing]
