"""Migrations of a database that commits every DDL statement by itself.

One process at a time applies them, under a lock of the server that goes with its connection. A
statement of the DDL is done as a whole or not at all, and before and after each one how far it came
is written down in ``schema_migration_progress``. So an interrupted migration goes on where it was
interrupted: only of the statement that was underway it is unknown whether it was done, and the
server tells by its error.
"""

import hashlib
from datetime import UTC, datetime
from typing import Final, NamedTuple

from pymysql.constants import ER
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from dicom_pipeline.errors import ConfigurationError, TransientError
from dicom_pipeline.migrations import CREATE_SCHEMA_MIGRATION, RECORD_MIGRATION, Migration, pending

_LOCK_SECONDS: Final = 60

_DONE_BEFORE: Final = frozenset(
    {
        ER.TABLE_EXISTS_ERROR,
        ER.DUP_FIELDNAME,
        ER.DUP_KEYNAME,
        ER.CANT_DROP_FIELD_OR_KEY,
        ER.BAD_TABLE_ERROR,
    }
)
"""What the server says to a statement that it has done before."""

_CREATE_PROGRESS: Final = """
CREATE TABLE IF NOT EXISTS schema_migration_progress (
    number     INTEGER NOT NULL PRIMARY KEY COMMENT 'Migration that is being applied',
    checksum   VARCHAR(64) NOT NULL COMMENT 'SHA-256 of its file',
    statements INTEGER NOT NULL COMMENT 'How many of its statements are done',
    underway   SMALLINT NOT NULL COMMENT '1 while the next one is being done'
) COMMENT = 'How far a migration has come; empty unless one was interrupted'
"""


def apply(connection: Connection, migrations: list[Migration], name: str) -> list[str]:
    """Apply what is missing and return its names. The connection must commit by itself.

    Raises:
        TransientError: another process has been applying migrations for a minute.
        ConfigurationError: see `migrations.pending`; or a migration was interrupted and its file
            was changed since.
    """
    lock = _lock_name(connection)
    taken = connection.execute(
        text("SELECT GET_LOCK(:lock, :seconds)"), {"lock": lock, "seconds": _LOCK_SECONDS}
    )
    if taken.scalar() != 1:
        raise TransientError(f"{name}: another process is applying migrations; wait for it")
    try:
        return _apply_missing(connection, migrations, name)
    finally:
        if not connection.invalidated:
            connection.execute(text("DO RELEASE_LOCK(:lock)"), {"lock": lock})


def _lock_name(connection: Connection) -> str:
    """The server has one space of names for the locks of all databases, of 64 characters each."""
    database = connection.execute(text("SELECT DATABASE()")).scalar()
    digest = hashlib.sha256(str(database).encode()).hexdigest()
    return f"dicom_pipeline.{digest[:40]}"


def _apply_missing(connection: Connection, migrations: list[Migration], name: str) -> list[str]:
    connection.exec_driver_sql(CREATE_SCHEMA_MIGRATION)
    connection.exec_driver_sql(_CREATE_PROGRESS)
    # A process that was killed between its last two words has left its progress behind.
    connection.exec_driver_sql(
        "DELETE FROM schema_migration_progress "
        "WHERE number IN (SELECT number FROM schema_migration)"
    )
    rows = connection.execute(text("SELECT number, checksum FROM schema_migration"))
    missing = pending(migrations, {row.number: row.checksum for row in rows})
    for migration in missing:
        _apply(connection, migration, _begin(connection, migration, name))
    return [migration.name for migration in missing]


class _Progress(NamedTuple):
    statements: int
    """How many are done."""
    underway: bool
    """Whether the next one may be done, too."""


def _begin(connection: Connection, migration: Migration, name: str) -> _Progress:
    """How far the migration has come; a new one is written down."""
    row = connection.execute(
        text(
            "SELECT checksum, statements, underway FROM schema_migration_progress "
            "WHERE number = :number"
        ),
        {"number": migration.number},
    ).first()
    if row is None:
        connection.execute(
            text("INSERT INTO schema_migration_progress VALUES (:number, :checksum, 0, 0)"),
            {"number": migration.number, "checksum": migration.checksum},
        )
        return _Progress(0, underway=False)
    if row.checksum != migration.checksum:
        raise ConfigurationError(
            f"{name}: migration {migration.name} was interrupted after {row.statements} of its "
            "statements and its file was changed since: run the version of the program that began "
            "it"
        )
    return _Progress(row.statements, bool(row.underway))


def _apply(connection: Connection, migration: Migration, progress: _Progress) -> None:
    for number, statement in enumerate(migration.statements()):
        if number < progress.statements:
            continue
        perhaps_done = progress.underway and number == progress.statements
        _write_down(connection, migration, _Progress(number, underway=True))
        try:
            _execute(connection, statement, perhaps_done=perhaps_done)
        except DBAPIError as error:
            if not error.connection_invalidated:  # the server says that it is not done
                _write_down(connection, migration, _Progress(number, underway=False))
            raise
        _write_down(connection, migration, _Progress(number + 1, underway=False))
    connection.execute(text(RECORD_MIGRATION), migration.record(datetime.now(UTC)))
    connection.execute(
        text("DELETE FROM schema_migration_progress WHERE number = :number"),
        {"number": migration.number},
    )


def _write_down(connection: Connection, migration: Migration, progress: _Progress) -> None:
    connection.execute(
        text(
            "UPDATE schema_migration_progress SET statements = :statements, underway = :underway "
            "WHERE number = :number"
        ),
        {
            "number": migration.number,
            "statements": progress.statements,
            "underway": int(progress.underway),
        },
    )


def _execute(connection: Connection, statement: str, *, perhaps_done: bool) -> None:
    try:
        connection.exec_driver_sql(statement.replace("%", "%%"))
    except DBAPIError as error:
        code = error.orig.args[0] if error.orig and error.orig.args else None
        if not (perhaps_done and code in _DONE_BEFORE):
            raise
