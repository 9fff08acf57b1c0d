"""A real MariaDB for tests: its own data, a free port, and a person who pulls its plug."""

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Self

import pymysql
import pytest

from dicom_pipeline.cli.network import free_port
from dicom_pipeline_tests.services.server import HOST, ServerProcess, run_setup

USER = "pipeline"
PASSWORD = "s3cret/@word"  # quoted in URLs, and easy to find where it must not be
START_SECONDS = 60
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"

OPTIONS = (
    "--bind-address=127.0.0.1",
    "--skip-name-resolve",
    "--skip-log-bin",
    # A commit is with the operating system: it survives a SIGKILL, though no loss of power.
    "--innodb-flush-log-at-trx-commit=1",
    "--innodb-flush-method=nosync",
    "--sync-frm=OFF",
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=16M",
    "--key-buffer-size=1M",
    "--aria-pagecache-buffer-size=1M",
    "--performance-schema=OFF",
    "--max-connections=60",
    "--lock-wait-timeout=30",
)


def missing_programs() -> list[str]:
    """Which programs this machine lacks for a MariaDB."""
    needed = ("mariadbd", "mariadb-install-db")
    return [name for name in needed if shutil.which(name, path=SEARCH_PATH) is None]


class MariaDb(ServerProcess):
    """One server on one port and one folder, as often as it is started.

    Args:
        folder: an empty folder with a short path (a socket's path is limited).
        options: further options of ``mariadbd``.
    """

    name = "MariaDB"
    start_seconds = START_SECONDS

    def __init__(self, folder: Path, *options: str) -> None:
        super().__init__(folder)
        self.port = free_port(HOST)
        self._options = (*OPTIONS, *options)
        self._socket = folder / "socket"
        self._numbers = count(1)
        self._install()

    def __enter__(self) -> Self:
        self.start()
        with self.admin() as cursor:
            cursor.execute(f"CREATE USER '{USER}'@'{HOST}' IDENTIFIED BY '{PASSWORD}'")
            cursor.execute(f"GRANT ALL ON `test\\_%`.* TO '{USER}'@'{HOST}'")
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def command(self) -> Sequence[str]:
        program = shutil.which("mariadbd", path=SEARCH_PATH)
        assert program is not None
        return [
            program,
            "--no-defaults",
            *(["--user=root"] if os.geteuid() == 0 else []),
            f"--datadir={self.folder / 'data'}",
            f"--socket={self._socket}",
            f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}",
            *self._options,
        ]

    @contextmanager
    def admin(self) -> Iterator[pymysql.cursors.Cursor]:
        """A cursor of the server's root, which commits by itself."""
        connection = pymysql.connect(unix_socket=str(self._socket), user="root", autocommit=True)
        with connection, connection.cursor() as cursor:
            yield cursor

    def connect(self) -> pymysql.Connection:
        """A connection of the ordinary user to no database."""
        return pymysql.connect(host=HOST, port=self.port, user=USER, password=PASSWORD)

    @contextmanager
    def fresh_database(self) -> Iterator[str]:
        """The URL of a new, empty database that goes when left; starts a server that is down."""
        if not self.running():
            self.start()
        name = f"test_{os.getpid()}_{next(self._numbers)}"
        with self.admin() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET latin1")
        yield self.url(name)
        if not self.running():
            self.start()
        with self.admin() as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS {name}")

    def url(self, database: str) -> str:
        """The URL of a database for the setting ``CATALOG_URL``."""
        password = PASSWORD.replace("/", "%2F").replace("@", "%40")
        return f"mysql+pymysql://{USER}:{password}@{HOST}:{self.port}/{database}"

    def kill_connections(self, database: str) -> int:
        """Cut every connection to a database; returns how many there were."""
        with self.admin() as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE db = %s", (database,)
            )
            numbers = [number for (number,) in cursor.fetchall()]
            for number in numbers:
                cursor.execute(f"KILL CONNECTION {number}")
        return len(numbers)

    def _install(self) -> None:
        program = shutil.which("mariadb-install-db", path=SEARCH_PATH)
        assert program is not None
        command = [
            program,
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            *(["--user=root"] if os.geteuid() == 0 else []),
            "--innodb-log-file-size=16M",
        ]
        run_setup(command, START_SECONDS)

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self._socket)) == 0


@contextmanager
def running_mariadb(*options: str) -> Iterator[MariaDb]:
    """A server of one's own; skips the test where the machine has no MariaDB."""
    if missing := missing_programs():
        pytest.skip(f"MariaDB is not installed: no {', '.join(missing)}")
    with (
        tempfile.TemporaryDirectory(prefix="mariadb-", ignore_cleanup_errors=True) as folder,
        MariaDb(Path(folder), *options) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDb]:
    """The server that the tests of one process share; whoever stops it starts it again."""
    with running_mariadb() as server:
        yield server


@pytest.fixture
def mariadb_url(mariadb) -> Iterator[str]:
    """The URL of a fresh database on the shared server."""
    with mariadb.fresh_database() as url:
        yield url
