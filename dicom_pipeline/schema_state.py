"""Which migrations a database still lacks, found out without changing it."""

from collections.abc import Callable

from dicom_pipeline.migrations import load_migrations, pending, sql_folder

Query = Callable[[str], list[dict[str, object]]]


def missing_migrations(query: Query, url: str, purpose: str) -> list[str]:
    """The names of the migrations that are not applied yet.

    Args:
        query: gives the rows of a SELECT.
        url: the setting that chose the database; its scheme names the dialect. Empty: SQLite.
        purpose: ``catalog`` or ``warehouse``.

    Raises:
        ConfigurationError: an applied migration was changed, or the schema is newer than this
            program.
        TransientError: the database is away, or was never migrated.
    """
    dialect = url.partition(":")[0].partition("+")[0] or "sqlite"
    # A system that serves one purpose only has no folder for it.
    shared = sql_folder().joinpath(dialect, purpose).is_dir()
    schema = (dialect, purpose) if shared else (dialect,)
    rows = query("SELECT number, checksum FROM schema_migration")
    applied = {int(str(row["number"])): str(row["checksum"]) for row in rows}
    return [one.name for one in pending(load_migrations(*schema), applied)]
