"""What a frontend does with a statement: a list of forms, to which other modules add theirs."""

import re
from collections.abc import Callable

from dicom_pipeline_tests.services.doris.errors import DorisError
from dicom_pipeline_tests.services.doris.loading import Loader, Mapping
from dicom_pipeline_tests.services.doris.store import Database, Result
from dicom_pipeline_tests.services.doris.tables import create_table, is_create_table
from dicom_pipeline_tests.services.doris.text import NAME, parts, unquoted, without_comments

Handler = Callable[["Session", re.Match[str]], Result]
NOTHING = Result()
_FLAGS = re.IGNORECASE | re.DOTALL


class Session:
    """One connection's user and database."""

    def __init__(self, cluster, user: str, database: str | None) -> None:
        self.cluster = cluster
        self.user = user
        self.database: str | None = None
        self.variables: dict[str, str] = {}
        if database is not None:
            self.use(database)

    def use(self, database: str) -> None:
        self.database = self.cluster.catalog[database].name

    def held(self, database: str | None = None) -> Database:
        """The database that a statement means."""
        return self.cluster.catalog[database or self.database]

    def run(self, sql: str) -> Result:
        statement = without_comments(sql).rstrip("; \n")
        self.cluster.heard(statement)
        for form, handler in self.cluster.forms:
            if match := form.fullmatch(statement):
                return handler(self, match)
        raise DorisError(f"no viable alternative at input '{statement[:60]}'")


def form(pattern: str) -> re.Pattern[str]:
    """A form of statements; spaces stand for any white space."""
    return re.compile(pattern.replace(" ", r"\s+"), _FLAGS)


def _set(session: Session, match: re.Match[str]) -> Result:
    for assignment in parts(match[1]):
        name, _, value = assignment.partition("=")
        session.variables[name.strip().lower()] = value.strip(" '\"")
    return NOTHING


def _use(session: Session, match: re.Match[str]) -> Result:
    session.use(match[1])
    return NOTHING


def _create_database(session: Session, match: re.Match[str]) -> Result:
    session.cluster.catalog.create(match[2], if_not_exists=bool(match[1]))
    return NOTHING


def _drop_database(session: Session, match: re.Match[str]) -> Result:
    session.cluster.catalog.drop(match[1])
    return NOTHING


def _create_table(session: Session, match: re.Match[str]) -> Result:
    assert is_create_table(match[0])
    table, if_not_exists = create_table(match[0], len(session.cluster.backends))
    session.held().create_table(table, if_not_exists=if_not_exists)
    return NOTHING


def _create_view(session: Session, match: re.Match[str]) -> Result:
    session.held(match[2]).create_view(match[3], match[4], if_not_exists=bool(match[1]))
    return NOTHING


def _drop(session: Session, match: re.Match[str]) -> Result:
    session.held(match[3]).drop(match[1].upper(), match[4], if_exists=bool(match[2]))
    return NOTHING


def _insert(session: Session, match: re.Match[str]) -> Result:
    """INSERT … VALUES, which is strict (enable_insert_strict)."""
    database = session.held(match[1])
    names = [name.strip(" `").lower() for name in match[3].split(",")]
    loader = Loader(database, match[2].lower(), Mapping(",".join(names), strict=True, zone="UTC"))
    rows = []
    for values in parts(match[4]):
        read = database.query(f"SELECT {values.strip()[1:-1]}").rows[0]
        rows.append(dict(zip(names, read, strict=True)))
    loaded = loader.read(session.cluster.as_lines(rows))
    if loaded.refused:
        raise DorisError(f"Insert has filtered data in strict mode. {loaded.refused[0]}", 5025)
    loader.write(loaded.rows)
    return NOTHING


def _select(session: Session, match: re.Match[str]) -> Result:
    if session.database is None:
        session.cluster.catalog[None]
    return session.held().query(match[0])


def _show_tables(session: Session, match: re.Match[str]) -> Result:
    database = session.held(match[1])
    names = sorted([*database.tables, *database.views])
    return Result([f"Tables_in_{database.name}"], [[name] for name in names])


def _show_databases(session: Session, match: re.Match[str]) -> Result:
    return Result(["Database"], [[name] for name in session.cluster.catalog])


def _show_create_table(session: Session, match: re.Match[str]) -> Result:
    table = session.held(match[1]).table(match[2].lower())
    return Result(["Table", "Create Table"], [[table.name, table.ddl]])


def _describe(session: Session, match: re.Match[str]) -> Result:
    table = session.held(match[1]).table(match[2].lower())
    rows = [
        [
            column.name,
            column.shown,
            "Yes" if column.nullable else "No",
            str(column.name in table.keys).lower(),
            column.default,
            "" if column.name in table.keys else "NONE",
        ]
        for column in table.columns
    ]
    return Result(["Field", "Type", "Null", "Key", "Default", "Extra"], rows)


def _show_backends(session: Session, match: re.Match[str]) -> Result:
    rows = [
        [10001 + number, one.host, 9050, 9060, one.port, 8060, str(one.alive).lower()]
        for number, one in enumerate(session.cluster.backends)
    ]
    columns = ["BackendId", "Host", "HeartbeatPort", "BePort", "HttpPort", "BrpcPort", "Alive"]
    return Result(columns, rows)


def _show_frontends(session: Session, match: re.Match[str]) -> Result:
    rows = [
        [f"fe_{number}", one.host, one.http_port, one.mysql_port, str(one.alive).lower()]
        for number, one in enumerate(session.cluster.frontends)
    ]
    return Result(["Name", "Host", "HttpPort", "QueryPort", "Alive"], rows)


def _version(session: Session, match: re.Match[str]) -> Result:
    return Result([match[1]], [[unquoted("'Doris version doris-3.1.0-double'")]])


FORMS: list[tuple[re.Pattern[str], Handler]] = [
    (form(r"SET (.+)"), _set),
    (form(r"USE `?(\w+)`?"), _use),
    (form(r"CREATE DATABASE (IF NOT EXISTS )?`?(\w+)`?"), _create_database),
    (form(r"DROP DATABASE (?:IF EXISTS )?`?(\w+)`?(?: FORCE)?"), _drop_database),
    (form(r"CREATE TABLE .+"), _create_table),
    (form(rf"CREATE VIEW (IF NOT EXISTS )?{NAME} AS (.+)"), _create_view),
    (form(rf"DROP (TABLE|VIEW) (IF EXISTS )?{NAME}(?: FORCE)?"), _drop),
    (form(rf"INSERT INTO {NAME} \(([^)]*)\) VALUES (.+)"), _insert),
    (form(r"SELECT (@@version_comment|version\(\))(?: LIMIT 1)?"), _version),
    (form(r"(?:SELECT|WITH) .+"), _select),
    (form(r"SHOW TABLES(?: FROM `?(\w+)`?)?"), _show_tables),
    (form(r"SHOW DATABASES"), _show_databases),
    (form(rf"SHOW CREATE TABLE {NAME}"), _show_create_table),
    (form(rf"DESC(?:RIBE)? {NAME}"), _describe),
    (form(r"SHOW BACKENDS"), _show_backends),
    (form(r"SHOW FRONTENDS"), _show_frontends),
]
"""The statements that every double knows, tried in this order."""
