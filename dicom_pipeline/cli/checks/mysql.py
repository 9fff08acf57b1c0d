"""What a MySQL or MariaDB server tells of itself, whatever is kept in it."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

from dicom_pipeline.cli.checks.check import Check, failure, ok, warning
from dicom_pipeline.cli.checks.clocks import clock_check
from dicom_pipeline.schema_state import Query

RUN: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE"})
"""What the stages need on the database."""
MIGRATE: Final = frozenset({"CREATE", "ALTER", "INDEX", "DROP", "CREATE VIEW"})
"""What `migrate` needs as well."""

_NEEDED: Final = {"MariaDB": (10, 11), "MySQL": (8, 0)}
_PACKET: Final = 16 << 20
"""Bytes: a batch of rows with long texts."""

_GRANT: Final = re.compile(r"GRANT (?P<rights>.+?) ON (?:TABLE )?(?P<scope>\S+) TO ", re.DOTALL)
_ALL: Final = "ALL PRIVILEGES"


def check_server(system: str, query: Query) -> Iterator[Check]:
    """Version, rights, clock and the settings that our promises rest on."""
    yield _version(system, query)
    yield _rights(system, query)
    yield clock_check(system, lambda: _now(query))
    yield from _settings(system, query)


def _version(system: str, query: Query) -> Check:
    (row,) = query("SELECT VERSION() AS version")
    found = str(row["version"])
    product = "MariaDB" if "mariadb" in found.lower() else "MySQL"
    digits = re.match(r"(\d+)\.(\d+)", found)
    numbers = tuple(map(int, digits.groups())) if digits else (0, 0)
    if numbers >= _NEEDED[product]:
        return ok(system, "version", f"{product} {found}")
    needed = ".".join(map(str, _NEEDED[product]))
    return failure(system, "version", f"{product} {found}", f"use {product} {needed} or newer")


def _rights(system: str, query: Query) -> Check:
    (row,) = query("SELECT DATABASE() AS name")
    database = str(row["name"])
    grants = [str(next(iter(row.values()))) for row in query("SHOW GRANTS FOR CURRENT_USER()")]
    granted = rights_on(database, grants)
    lacking = sorted(RUN - granted)
    if lacking:
        return failure(system, "rights", f"may not {', '.join(lacking)}", _grant(lacking, database))
    lacking = sorted(MIGRATE - granted)
    if lacking:
        remedy = f"{_grant(lacking, database)}, or run `migrate` as another user"
        return warning(system, "rights", f"may not migrate: {', '.join(lacking)}", remedy)
    return ok(system, "rights", "read, write and migrate")


def _grant(rights: Iterable[str], database: str) -> str:
    return f"GRANT {', '.join(rights)} ON `{database}`.* TO its user"


def rights_on(database: str, grants: Iterable[str]) -> frozenset[str]:
    """The rights that ``SHOW GRANTS`` gives on every table of a database.

    A role's rights are not looked into: grant them to the user itself, or take the warning.
    """
    rights: set[str] = set()
    for grant in grants:
        found = _GRANT.match(grant)
        if found and _covers(found["scope"], database):
            names = {name.strip().upper() for name in found["rights"].split(",")}
            rights |= RUN | MIGRATE if _ALL in names else names
    return frozenset(rights)


def _covers(scope: str, database: str) -> bool:
    """Whether ``*.*`` or ``` `pattern`.* ``` means the database; ``_`` and ``%`` are wildcards."""
    pattern, _, table = scope.rpartition(".")
    if table != "*":
        return False
    if pattern == "*":
        return True
    # SHOW GRANTS escapes the wildcards that are meant as they are.
    parts = re.findall(r"\\[_%]|[_%]|[^_%\\]+|\\", pattern.strip("`").replace("``", "`"))
    wild = {"_": ".", "%": ".*"}
    expression = "".join(wild.get(part) or re.escape(part.lstrip("\\") or part) for part in parts)
    return re.fullmatch(expression, database) is not None


def _now(query: Query) -> datetime:
    (row,) = query("SELECT UTC_TIMESTAMP(6) AS now")
    now = row["now"]
    return now if isinstance(now, datetime) else datetime.fromisoformat(str(now))


def _settings(system: str, query: Query) -> Iterator[Check]:
    (row,) = query(
        "SELECT @@GLOBAL.innodb_flush_log_at_trx_commit AS flush, @@GLOBAL.read_only AS locked,"
        " @@GLOBAL.max_allowed_packet AS packet"
    )
    if int(str(row["locked"])):
        remedy = "is it a replica? Name the primary in the URL, or SET GLOBAL read_only = OFF"
        yield failure(system, "settings", "the server is read-only", remedy)
    if int(str(row["flush"])) != 1:
        found = f"innodb_flush_log_at_trx_commit={row['flush']}: a power cut loses rows"
        yield warning(system, "settings", found, "set it to 1")
    if int(str(row["packet"])) < _PACKET:
        found = f"max_allowed_packet={row['packet']} is small for a batch of rows"
        yield warning(system, "settings", found, f"set it to {_PACKET} or more")
