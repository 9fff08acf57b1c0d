"""Numbered SQL files, applied once each, in order, and never changed afterwards."""

import hashlib
import re
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from typing import Final, NamedTuple

from dicom_pipeline.errors import ConfigurationError

CREATE_SCHEMA_MIGRATION: Final = """
CREATE TABLE IF NOT EXISTS schema_migration (
    number     INTEGER NOT NULL PRIMARY KEY,
    name       VARCHAR(128) NOT NULL,
    checksum   VARCHAR(64) NOT NULL,
    applied_at VARCHAR(32) NOT NULL
)
"""
RECORD_MIGRATION: Final = (
    "INSERT INTO schema_migration (number, name, checksum, applied_at)"
    " VALUES (:number, :name, :checksum, :applied_at)"
)
"""With the parameters of `Migration.record`."""

_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")


class Migration(NamedTuple):
    """One step of a schema."""

    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 (hex) of the file's text."""
        return hashlib.sha256(self.sql.encode()).hexdigest()

    def record(self, applied_at: datetime) -> dict[str, object]:
        """Its row of ``schema_migration``; the time also tells tables that were made anew."""
        return {
            "number": self.number,
            "name": self.name,
            "checksum": self.checksum,
            "applied_at": applied_at.isoformat(timespec="microseconds"),
        }

    def statements(self) -> list[str]:
        """The SQL statements: each ends with a semicolon at the end of a line."""
        lines = (line for line in self.sql.splitlines() if not line.lstrip().startswith("--"))
        return [
            part.strip()
            for part in re.split(r";\s*$", "\n".join(lines), flags=re.MULTILINE)
            if part.strip()
        ]


def sql_folder() -> Path:
    """The folder `sql`: inside the installed package, or beside it in a checkout."""
    package = Path(str(files("dicom_pipeline")))
    installed = package / "sql"
    return installed if installed.is_dir() else package.parent / "sql"


def load_migrations(*schema: str) -> list[Migration]:
    """The migrations of one schema in their order, e.g. ``load_migrations("sqlite", "catalog")``.

    Raises:
        ConfigurationError: the folder is missing, a name does not fit, or the numbers have a gap.
    """
    folder = sql_folder().joinpath(*schema)
    paths = sorted(folder.glob("*.sql"))
    migrations = []
    for expected, path in enumerate(paths, start=1):
        match = _NAME.fullmatch(path.name)
        if not match or int(match[1]) != expected:
            raise ConfigurationError(f"migration {path}: expected the name {expected:04d}_….sql")
        migrations.append(Migration(expected, path.name, path.read_text(encoding="utf-8")))
    if not migrations:
        raise ConfigurationError(f"no migrations in {folder}: the installation is incomplete")
    return migrations


def pending(migrations: list[Migration], applied: dict[int, str]) -> list[Migration]:
    """Which migrations are still to be applied, given number -> checksum of those that were.

    Raises:
        ConfigurationError: an applied migration was changed, or the schema is newer than this
            version of the program.
    """
    for migration in migrations:
        checksum = applied.get(migration.number)
        if checksum and checksum != migration.checksum:
            raise ConfigurationError(
                f"migration {migration.name} was changed after it had been applied: "
                "restore the file, and put the change into a new migration"
            )
    unknown = applied.keys() - {migration.number for migration in migrations}
    if unknown:
        raise ConfigurationError(
            f"the schema has migration {max(unknown)}, which this version does not know: "
            "run the version that wrote it, or a newer one"
        )
    return [migration for migration in migrations if migration.number not in applied]
