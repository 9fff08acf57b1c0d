"""Where Dagster keeps runs, events, schedules and the sensors' cursors, by its `dagster.yaml`.

The storage is asked directly: an instance of Dagster would create missing tables.
"""

import os
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml  # type: ignore[import-untyped]  # Dagster's own dependency, without types

from dicom_pipeline.cli.checks.check import Check, failure, ok, warning
from dicom_pipeline.cli.checks.clocks import clock_check
from dicom_pipeline.cli.checks.embedded import check_file, opened
from dicom_pipeline.cli.checks.reach import Address, reachable
from dicom_pipeline.errors import ConfigurationError
from dicom_pipeline.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection

SYSTEM: Final = "Dagster storage"

_PORTS: Final = {"postgres": 5432, "mysql": 3306}
_DRIVERS: Final = {"postgres": "postgresql+psycopg2", "mysql": "mysql+pymysql"}
_PACKAGES: Final = {"postgres": "dagster_postgres", "mysql": "dagster_mysql"}
"""Dagster's own packages for them; their versions go with Dagster's."""
_CONNECT_SECONDS: Final = 5
_SQLITE_FILES: Final = {
    "runs": "history/runs.db",
    "schedules": "schedules/schedules.db",
}
"""The files of the embedded storage: of the runs, and of the schedules and the cursors."""

_REVISIONS: Final = "SELECT version_num FROM alembic_version"
_UPGRADE: Final = "stop everything and run `dagster instance migrate` with DAGSTER_HOME={home}"


def check_dagster_storage(settings: Settings) -> Iterator[Check]:
    """The storage of the instance that `up` starts."""
    file = settings.dagster_yaml or settings.dagster_home / "dagster.yaml"
    if not settings.dagster_yaml and not file.exists():
        yield ok(SYSTEM, "reachable", f"{file.parent} is not created yet", "`up` creates it")
        return
    try:
        storage = _storage(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        found = f"{file} cannot be understood ({type(error).__name__}: {error})"
        yield failure(SYSTEM, "configuration", found, "correct it, and set the variables it names")
        return
    if storage is None:
        yield from _embedded(settings.dagster_home)
    else:
        yield from _server(*storage, settings.dagster_home)


def server_of(settings: Settings) -> tuple[str, "URL"] | None:
    """The kind and the URL of the server of Dagster's storage; None: files, or nothing yet.

    Raises:
        ConfigurationError: the file cannot be understood.
    """
    file = settings.dagster_yaml or settings.dagster_home / "dagster.yaml"
    if not file.exists():
        return None
    try:
        return _storage(yaml.safe_load(file.read_text(encoding="utf-8")) or {})
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"{file} cannot be understood ({type(error).__name__}: {error}): correct it, and set "
            "the variables it names"
        ) from error


def _storage(instance: Mapping[str, Any]) -> tuple[str, "URL"] | None:
    """The kind of server and its URL; None for files in the instance's folder.

    Raises:
        KeyError: a variable of the environment is not set.
        ValueError: it is a storage that is not known here.
    """
    storage = dict(instance.get("storage") or {"sqlite": {}})
    for kind in _DRIVERS:
        if kind in storage:
            return kind, _url(kind, _from_environment(storage[kind]))
    if "sqlite" in storage:
        return None
    raise ValueError(f"storage {', '.join(storage)} is not known here")


def _from_environment(value: Any) -> Any:  # noqa: ANN401 - any YAML
    """The value with ``{env: NAME}`` replaced, as Dagster does it."""
    if isinstance(value, Mapping):
        if set(value) == {"env"}:
            return os.environ[value["env"]]
        return {name: _from_environment(part) for name, part in value.items()}
    return value


def _url(kind: str, config: Mapping[str, Any]) -> "URL":
    from sqlalchemy import URL, make_url  # noqa: PLC0415 - heavy, and only for servers

    if whole := config.get(f"{kind}_url"):
        return make_url(str(whole)).set(drivername=_DRIVERS[kind])
    parts = config[f"{kind}_db"]
    return URL.create(
        _DRIVERS[kind],
        username=parts.get("username"),
        password=parts.get("password"),
        host=parts["hostname"],
        port=int(parts.get("port") or _PORTS[kind]),
        database=parts["db_name"],
    )


def _embedded(home: Path) -> Iterator[Check]:
    for part, name in _SQLITE_FILES.items():
        path = home / name
        if not path.exists():
            yield ok(SYSTEM, part, f"{path} is not created yet", "`up` creates it")
            continue
        for one in check_file(SYSTEM, path):
            one.name = f"{part}: {one.name}"
            yield one
        with opened(path) as file:
            revisions = [str(row["version_num"]) for row in file.query(_REVISIONS)]
        yield _schema(f"{part}: schema", revisions, home)


def _server(kind: str, url: "URL", home: Path) -> Iterator[Check]:
    from sqlalchemy import NullPool, create_engine  # noqa: PLC0415 - heavy, only for servers
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    package = _PACKAGES[kind]
    if find_spec(package) is None:
        yield failure(SYSTEM, "client", f"{package} is not installed", f"pip install {package}")
        return
    address = Address(url.host or "localhost", url.port or _PORTS[kind])
    reached = list(reachable(SYSTEM, [address], "storage in dagster.yaml"))
    yield from reached
    if any(one.remedy for one in reached):
        return
    try:
        engine = create_engine(
            url,
            poolclass=NullPool,
            hide_parameters=True,
            connect_args={"connect_timeout": _CONNECT_SECONDS},
        )
        with engine.connect() as connection:
            yield from _asked(kind, connection, home)
    except SQLAlchemyError as error:
        cause = type(getattr(error, "orig", None) or error).__name__
        remedy = "check user, password and database of the storage in dagster.yaml"
        yield failure(SYSTEM, "usable", f"{address} refuses us ({cause})", remedy)


def _asked(kind: str, connection: "Connection", home: Path) -> Iterator[Check]:
    from sqlalchemy import inspect  # noqa: PLC0415 - heavy, only for servers

    dialect = connection.dialect
    version = ".".join(map(str, dialect.server_version_info or ()))
    mariadb = getattr(dialect, "is_mariadb", False)
    yield ok(SYSTEM, "version", f"{'MariaDB' if mariadb else dialect.name} {version}")
    yield _may_create(kind, connection)
    if inspect(connection).has_table("alembic_version"):
        revisions = list(connection.exec_driver_sql(_REVISIONS).scalars())
        yield _schema("schema", revisions, home)
    else:
        yield ok(SYSTEM, "schema", "no tables yet", "`up` creates them")
    now = {"postgres": "SELECT clock_timestamp()", "mysql": "SELECT UTC_TIMESTAMP(6)"}[kind]
    yield clock_check(SYSTEM, lambda: connection.exec_driver_sql(now).scalar_one())


def _may_create(kind: str, connection: "Connection") -> Check:
    """Dagster makes its own tables."""
    if kind != "postgres":
        return ok(SYSTEM, "rights", "connected")
    may = connection.exec_driver_sql(
        "SELECT has_schema_privilege(current_user, current_schema(), 'CREATE')"
    ).scalar_one()
    if may:
        return ok(SYSTEM, "rights", "may create tables")
    remedy = "GRANT USAGE, CREATE ON SCHEMA public TO its user, or let it own the database"
    return failure(SYSTEM, "rights", "may not create tables", remedy)


def _schema(name: str, revisions: list[str], home: Path) -> Check:
    """Compare the revision of the tables with the one that the installed Dagster brings."""
    head = _head()
    found = ", ".join(revisions) or "none"
    if revisions == [head]:
        return ok(SYSTEM, name, f"revision {found}, as this Dagster wants it")
    found = f"revision {found}, this Dagster wants {head}"
    return warning(SYSTEM, name, found, _UPGRADE.format(home=home))


def _head() -> str | None:
    """The newest revision that Dagster's migrations lead to, the same for every database."""
    from importlib.resources import files  # noqa: PLC0415 - imports Dagster: two seconds

    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(files("dagster") / "_core/storage/alembic"))
    return ScriptDirectory.from_config(config).get_current_head()
