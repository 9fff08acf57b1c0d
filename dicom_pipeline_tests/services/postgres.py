"""A real PostgreSQL for tests, as the user `postgres` where the tests run as root."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dicom_pipeline.cli.network import free_port
from dicom_pipeline_tests.services.server import HOST, run_setup

USER = "pipeline"
PASSWORD = "s3cret-of-postgres"
START_SECONDS = 60
ACCOUNT = "postgres"
"""Who runs the server when root may not."""


def _program(name: str) -> str | None:
    """Debian keeps the server's programs in a folder for each version."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    path = os.pathsep.join([*map(str, folders), os.environ.get("PATH", "")])
    return shutil.which(name, path=path)


class Postgres:
    """A server on a free port with an empty database.

    Args:
        folder: an empty folder with a short path (a socket's path is limited).
    """

    database = "dagster"

    def __init__(self, folder: Path) -> None:
        self.port = free_port(HOST)
        self._folder = folder
        self._account = ACCOUNT if os.geteuid() == 0 else None
        if self._account:
            shutil.chown(folder, ACCOUNT)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Make the cluster, and the server with one database."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD)
        if self._account:
            shutil.chown(secret, ACCOUNT)
        data = str(self._folder / "data")
        self._run("initdb", "-D", data, "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}")
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(_program("postgres"), "-D", data, "-p", str(self.port), "-h", HOST),
                    *("-k", str(self._folder), "-c", "fsync=off", "-c", "shared_buffers=16MB"),
                ],
                user=self._account,
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        self._wait()
        self._run("createdb", "-h", HOST, "-p", str(self.port), "-U", USER, self.database)

    def stop(self) -> None:
        """Stop it without waiting for its clients (SIGINT: fast shutdown)."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(START_SECONDS)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self._process is not None
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"PostgreSQL did not start: {(self._folder / 'log').read_text()}"
                )
            time.sleep(0.05)

    def _run(self, name: str, *arguments: str) -> None:
        program = _program(name)
        assert program is not None
        run_setup(
            [program, *arguments],
            START_SECONDS,
            user=self._account,
            cwd=self._folder,
            env={**os.environ, "PGPASSWORD": PASSWORD},
        )


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """A server of one's own; skips the test where the machine has no PostgreSQL."""
    if missing := [name for name in ("initdb", "postgres", "createdb") if _program(name) is None]:
        pytest.skip(f"PostgreSQL is not installed: no {', '.join(missing)}")
    with tempfile.TemporaryDirectory(prefix="postgres-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder))
        try:
            server.start()
            yield server
        finally:
            server.stop()
