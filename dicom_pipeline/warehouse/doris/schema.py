"""The migrations of `sql/doris`, with the numbers that the URL chooses, and their bookkeeping.

Doris has no transactions around DDL. So every statement of a migration can be repeated (``IF NOT
EXISTS``), a migration is written down when all of its statements are done, and two processes that
migrate at once do the same work twice without harm.
"""

from datetime import UTC, datetime
from string import Template
from typing import Final

from dicom_pipeline.migrations import Migration, load_migrations, pending
from dicom_pipeline.warehouse.doris.options import DorisOptions
from dicom_pipeline.warehouse.doris.session import Session

SCHEMA: Final = ("doris",)
"""Where `migrations.load_migrations` finds the files."""

_CREATE_SCHEMA_MIGRATION: Final = Template(
    """CREATE TABLE IF NOT EXISTS schema_migration (
    number     INT          NOT NULL,
    name       VARCHAR(128) NOT NULL,
    checksum   VARCHAR(64)  NOT NULL,
    applied_at VARCHAR(32)  NOT NULL
)
ENGINE = OLAP
UNIQUE KEY(number)
DISTRIBUTED BY HASH(number) BUCKETS 1
PROPERTIES (
    "replication_num" = "${replicas}",
    "enable_unique_key_merge_on_write" = "true"
)"""
)
APPLIED: Final = "SELECT number, checksum FROM schema_migration"
RECORD: Final = (
    "INSERT INTO schema_migration (number, name, checksum, applied_at)"
    " VALUES (:number, :name, :checksum, :applied_at)"
)

# Without a limit every receipt finds a partition, however old it is.
_KEPT_FOR_EVER: Final = "AUTO PARTITION BY RANGE (date_trunc(created_time, 'month')) ()"
_KEPT_FOR_DAYS: Final = "PARTITION BY RANGE (created_time) ()"
_RETENTION: Final = Template(
    """,
    "dynamic_partition.enable" = "true",
    "dynamic_partition.time_unit" = "DAY",
    "dynamic_partition.time_zone" = "Etc/UTC",
    "dynamic_partition.start" = "-${days}",
    "dynamic_partition.end" = "3",
    "dynamic_partition.prefix" = "p",
    "dynamic_partition.buckets" = "${buckets}",
    "dynamic_partition.create_history_partition" = "true\""""
)


def placeholders(options: DorisOptions) -> dict[str, str]:
    """What stands for the placeholders of the migrations."""
    days = options.retention_days
    retention = _RETENTION.substitute(days=days, buckets=options.buckets) if days else ""
    return {
        "replicas": str(options.replicas),
        "buckets": str(options.buckets),
        "partitions": _KEPT_FOR_DAYS if days else _KEPT_FOR_EVER,
        "retention": retention,
    }


def statements(migration: Migration, options: DorisOptions) -> list[str]:
    """The statements of a migration as they are sent."""
    values = placeholders(options)
    return [Template(statement).substitute(values) for statement in migration.statements()]


def bookkeeping(options: DorisOptions) -> str:
    """The statement that creates the list of applied migrations."""
    return _CREATE_SCHEMA_MIGRATION.substitute(placeholders(options))


def migrate(session: Session, options: DorisOptions) -> list[str]:
    """Apply the migrations that are missing and return their names.

    Raises:
        ConfigurationError: see `migrations.pending`.
        PermanentError: a statement was refused; what came before it stays and is not repeated in
            vain.
    """
    migrations = load_migrations(*SCHEMA)
    session.ensure_database()
    session.execute(bookkeeping(options))
    rows = session.query(APPLIED, {})
    applied = {int(str(row["number"])): str(row["checksum"]) for row in rows}
    missing = pending(migrations, applied)
    for migration in missing:
        for statement in statements(migration, options):
            session.execute(statement)
        session.execute(RECORD, record(migration))
    return [migration.name for migration in missing]


def record(migration: Migration) -> dict[str, object]:
    """The row that says that a migration was applied. The checksum is that of the file itself, so
    that other numbers in the URL do not look like a changed file.
    """
    return {
        "number": migration.number,
        "name": migration.name,
        "checksum": migration.checksum,
        "applied_at": datetime.now(UTC).isoformat(timespec="microseconds"),
    }
