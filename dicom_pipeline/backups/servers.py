"""Dumps of databases on servers, by the servers' own programs.

Passwords go by a file that only this user may read, or by the environment: never by arguments,
which every user of the machine can see.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dicom_pipeline.errors import ConfigurationError, TransientError

if TYPE_CHECKING:
    from sqlalchemy import URL

_DUMP_OPTIONS: Final = (
    "--single-transaction",  # one state of all tables, and nobody waits
    "--quick",
    "--skip-lock-tables",
    "--no-tablespaces",  # would need the right PROCESS
    "--skip-add-drop-table",  # a restore writes over nothing
    "--hex-blob",
    "--default-character-set=utf8mb4",
    "--loose-set-gtid-purged=OFF",  # MySQL's program only: would need a right of the server's
)
_TLS: Final = {"ssl_ca": "ssl-ca", "ssl_cert": "ssl-cert", "ssl_key": "ssl-key"}


def dump_mysql(url: "URL", target: Path) -> None:
    """Write all tables of a MySQL or MariaDB database as SQL."""
    target.parent.mkdir(parents=True, exist_ok=True)
    program = _program("mariadb-dump", "mysqldump")
    with _option_file(url) as options:
        command = [program, f"--defaults-extra-file={options}", *_DUMP_OPTIONS]
        _run([*command, f"--result-file={target}", str(url.database)])


def load_mysql(url: "URL", source: Path) -> None:
    """Execute a dump in a database."""
    program = _program("mariadb", "mysql")
    with _option_file(url) as options, source.open("rb") as dump:
        command = [program, f"--defaults-extra-file={options}", "--default-character-set=utf8mb4"]
        _run([*command, str(url.database)], stdin=dump.fileno())


def dump_postgres(url: "URL", target: Path) -> None:
    """Write a PostgreSQL database in pg_dump's own format."""
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [_program("pg_dump"), "--format=custom", f"--file={target}", *_postgres(url)]
    _run(command, password=url.password)


def load_postgres(url: "URL", source: Path) -> None:
    """Restore such a dump into an empty database."""
    command = [_program("pg_restore"), "--no-owner", "--exit-on-error", *_postgres(url)]
    _run([*command, str(source)], password=url.password)


def require_no_tables(url: "URL") -> None:
    """A restore writes over nothing.

    Raises:
        ConfigurationError: the database has tables.
        TransientError: the server is away, or refuses.
    """
    from sqlalchemy import NullPool, create_engine, inspect  # noqa: PLC0415 - heavy
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    where = f"{url.database} at {url.host}"
    try:
        tables = inspect(create_engine(url, poolclass=NullPool)).get_table_names()
    except SQLAlchemyError as error:
        raise TransientError(f"{where}: {type(error).__name__}: is the server there?") from error
    if tables:
        raise ConfigurationError(
            f"{where} has tables, {tables[0]} among them: restore into an empty database"
        )


def _postgres(url: "URL") -> list[str]:
    return [
        f"--host={url.host}",
        f"--port={url.port or 5432}",
        f"--username={url.username}",
        f"--dbname={url.database}",
        "--no-password",
    ]


@contextmanager
def _option_file(url: "URL") -> Iterator[Path]:
    """A file for ``--defaults-extra-file``, private from its first byte."""
    values = {
        "host": url.host,
        "port": url.port or 3306,
        "user": url.username,
        "password": url.password,
        **{name: url.query[key] for key, name in _TLS.items() if key in url.query},
    }
    lines = [f'{name} = "{_quoted(str(value))}"' for name, value in values.items() if value]
    with tempfile.NamedTemporaryFile("w", suffix=".cnf", encoding="utf-8") as file:
        file.write("\n".join(["[client]", *lines, ""]))
        file.flush()
        yield Path(file.name)


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"')


def _program(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise ConfigurationError(
        f"{' or '.join(names)} is not installed: install the server's client programs"
    )


def _run(command: Sequence[str], *, stdin: int | None = None, password: str | None = None) -> None:
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    done = subprocess.run(  # noqa: S603 - the programs above
        command,
        env=environment,
        stdin=stdin if stdin is not None else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        raise TransientError(
            f"{Path(command[0]).name} ended with {done.returncode}: {words[-1] if words else '?'}"
        )
