"""A real Redis for tests: in memory only, on a free port, and a person who pulls its plug."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Self
from urllib.parse import quote

import pytest
import redis
import trustme

from dicom_pipeline.cli.network import free_port
from dicom_pipeline_tests.services.server import HOST, ServerProcess

USER = "pipeline"
PASSWORD = "s3cret/@word"  # quoted in URLs, and easy to find where it must not be
ADMIN_PASSWORD = "the tests' own"
RIGHTS = "+get +mget +set +del +info +@connection"
"""All that the cache needs."""
START_SECONDS = 30
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def find_program() -> str | None:
    """Where this machine has its ``redis-server``."""
    return shutil.which("redis-server", path=SEARCH_PATH)


class RedisServer(ServerProcess):
    """One server on one port, as often as it is started; what it held is gone when it ends.

    Its user ``pipeline`` has the rights of the cache on keys that begin with ``test-``; the
    default user, who has all rights, is the tests' own.

    Args:
        folder: an empty folder.
        tls: whether the port speaks TLS only, with a certificate of `ca_file`.
    """

    name = "Redis"
    start_seconds = START_SECONDS

    def __init__(self, folder: Path, *, tls: bool = False) -> None:
        super().__init__(folder)
        self.port = free_port(HOST)
        self.ca_file = folder / "ca.pem"
        self._tls = tls
        self._prefixes = count(1)
        if tls:
            self._make_certificates()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def command(self) -> Sequence[str]:
        program = find_program()
        assert program is not None
        settings = [
            f"bind {HOST}",
            f"dir {self.folder}",
            'save ""',
            "appendonly no",
            *self._ports(),
            f'user default on ">{ADMIN_PASSWORD}" ~* &* +@all',
            f"user {USER} on >{PASSWORD} resetkeys ~test-* resetchannels {RIGHTS}",
        ]
        config = self.folder / "redis.conf"
        config.write_text("\n".join(settings) + "\n", encoding="utf-8")
        return [program, str(config)]

    def flush(self) -> None:
        """Take everything from it."""
        with self.admin() as client:
            client.flushall()

    @contextmanager
    def admin(self) -> Iterator[redis.Redis]:
        """A client of the user who has all rights."""
        tls = {"ssl": True, "ssl_ca_certs": str(self.ca_file)} if self._tls else {}
        with redis.Redis(host=HOST, port=self.port, password=ADMIN_PASSWORD, **tls) as client:
            yield client

    def fresh_url(self, **options: object) -> str:
        """A URL of keys that nobody else uses; starts a server that is down.

        A busy machine is given time to answer, unless ``options`` says otherwise.
        """
        if not self.running():
            self.start()
        prefix = f"test-{os.getpid()}-{next(self._prefixes)}"
        return self.url(**{"prefix": prefix, "timeout_ms": 5000, **options})

    def url(self, user: str = USER, password: str = PASSWORD, **options: object) -> str:
        """A URL for the setting ``CACHE_URL``; `options` stand in its query."""
        tls = {"ca": self.ca_file} if self._tls else {}
        query = "&".join(f"{name}={quote(str(v))}" for name, v in {**tls, **options}.items())
        scheme = "rediss" if self._tls else "redis"
        return f"{scheme}://{user}:{quote(password, safe='')}@{HOST}:{self.port}/0?{query}"

    def _ports(self) -> list[str]:
        if not self._tls:
            return [f"port {self.port}"]
        return [
            "port 0",
            f"tls-port {self.port}",
            f"tls-cert-file {self.folder / 'server.pem'}",
            f"tls-key-file {self.folder / 'server.key'}",
            f"tls-ca-cert-file {self.ca_file}",
            "tls-auth-clients no",
        ]

    def _make_certificates(self) -> None:
        authority = trustme.CA()
        certificate = authority.issue_cert(HOST)
        authority.cert_pem.write_to_path(self.ca_file)
        certificate.private_key_pem.write_to_path(self.folder / "server.key")
        certificate.cert_chain_pems[0].write_to_path(self.folder / "server.pem")

    def answers(self) -> bool:
        try:
            with self.admin() as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


@contextmanager
def running_redis(*, tls: bool = False) -> Iterator[RedisServer]:
    """A server of one's own; skips the test where the machine has no Redis."""
    if find_program() is None:
        pytest.skip("Redis is not installed: no redis-server")
    with (
        tempfile.TemporaryDirectory(prefix="redis-", ignore_cleanup_errors=True) as folder,
        RedisServer(Path(folder), tls=tls) as server,
    ):
        yield server


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """The server that the tests of one process share; whoever stops it starts it again."""
    with running_redis() as server:
        yield server


@pytest.fixture(scope="session")
def redis_with_tls() -> Iterator[RedisServer]:
    """Another one, which speaks TLS only."""
    with running_redis(tls=True) as server:
        yield server
