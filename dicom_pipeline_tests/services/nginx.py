"""A real nginx for tests, as the product configures it: all ports of 127.0.0.1, and its users."""

import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from http.client import HTTPSConnection
from pathlib import Path
from typing import NamedTuple, Self

import psutil
import pytest
import trustme

from dicom_pipeline.cli.network import answers, free_port
from dicom_pipeline_tests.services.server import HOST, ServerProcess

SCRIPTS = Path(__file__).parents[2] / "docker" / "nginx"
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
PASSWORD = "a password of the tests"


class Answer(NamedTuple):
    """What nginx has answered."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes


class Nginx(ServerProcess):
    """One nginx on its own ports and folders.

    Args:
        folder: an empty folder.
        variables: more of what ``docs/nginx.md`` lists, or other values.
    """

    name = "nginx"
    start_seconds = 20

    def __init__(self, folder: Path, **variables: str) -> None:
        super().__init__(folder)
        self.https_port, self.ui_port, self.dicom_port, self.dicom_tls_port = (
            free_port(HOST) for _ in range(4)
        )
        self.receiver_ports = free_port(HOST), free_port(HOST)
        self.storage, self.renditions, self.manifests, self.viewer, self.users = (
            folder / name for name in ("storage", "renditions", "manifests", "viewer", "users")
        )
        for each in (self.storage, self.renditions, self.manifests, self.viewer, self.users):
            each.mkdir()
        self.access_log = folder / "access.log"
        self.authority = trustme.CA()
        self._write_certificate()
        self.variables = {**self._variables(), **variables}

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def command(self) -> Sequence[str]:
        return ["env", *self._assignments(), str(SCRIPTS / "start")]

    def kill(self) -> None:
        """Pull the plug of all its processes: workers would outlive their master."""
        workers = psutil.Process(self.pid).children() if self.running() else []
        super().kill()
        for worker in workers:
            with suppress(psutil.NoSuchProcess):
                worker.kill()

    def answers(self) -> bool:
        # While it tests its configuration, it listens as well for a moment.
        try:
            serving = self._process is not None and self.pid == self._process.pid
        except (FileNotFoundError, ValueError):
            return False
        return serving and answers(HOST, self.https_port)

    @property
    def pid(self) -> int:
        """The master's process id."""
        return int((self.folder / "home" / "nginx.pid").read_text())

    def workers(self) -> set[int]:
        """The process ids of its workers."""
        return {child.pid for child in psutil.Process(self.pid).children()}

    def run(self, script: str, *arguments: str, typed: str = "") -> subprocess.CompletedProcess:
        """Run one of its scripts, with ``typed`` as the standard input."""
        return subprocess.run(
            ["env", *self._assignments(), SCRIPTS / script, *arguments],
            input=typed,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def add_user(self, *arguments: str) -> None:
        """``TENANT NAME`` or ``--operator NAME``, with `PASSWORD`."""
        done = self.run("users", "add", *arguments, "--ask", typed=PASSWORD)
        assert done.returncode == 0, done.stderr

    def trusting(self) -> ssl.SSLContext:
        """A client's context that trusts its certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.authority.configure_trust(context)
        return context

    def ask(self, path: str, *, ui: bool = False, method: str = "GET", **headers: str) -> Answer:
        """One request, its path sent as it is; underscores of headers' names become hyphens."""
        port = self.ui_port if ui else self.https_port
        connection = HTTPSConnection(HOST, port, timeout=20, context=self.trusting())
        try:
            given = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=given)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()

    def _assignments(self) -> list[str]:
        return [f"{name}={value}" for name, value in self.variables.items()]

    def _variables(self) -> dict[str, str]:
        return {
            "NGINX_HOME": str(self.folder / "home"),
            "NGINX_USERS": str(self.users),
            "NGINX_TLS_CERTIFICATE": str(self.folder / "server.pem"),
            "NGINX_TLS_KEY": str(self.folder / "server.key"),
            "STORAGE_ROOT": str(self.storage),
            "RENDITION_ROOT": str(self.renditions),
            "MANIFEST_ROOT": str(self.manifests),
            "VIEWER_ROOT": str(self.viewer),
            "NGINX_HTTPS_LISTEN": f"{HOST}:{self.https_port}",
            "NGINX_UI_LISTEN": f"{HOST}:{self.ui_port}",
            "NGINX_DICOM_LISTEN": f"{HOST}:{self.dicom_port}",
            "NGINX_RECEIVERS": " ".join(f"{HOST}:{port}" for port in self.receiver_ports),
            "NGINX_WORKER_USER": "root" if os.geteuid() == 0 else "",
            "NGINX_ACCESS_LOG": str(self.access_log),
        }

    def _write_certificate(self) -> None:
        certificate = self.authority.issue_cert(HOST)
        certificate.private_key_pem.write_to_path(self.folder / "server.key")
        certificate.cert_chain_pems[0].write_to_path(self.folder / "server.pem")


def require_nginx() -> None:
    """Skip the test where the machine has no nginx with its stream module."""
    program = shutil.which("nginx", path=SEARCH_PATH)
    if program is None:
        pytest.skip("nginx is not installed")
    options = subprocess.run([program, "-V"], capture_output=True, text=True, check=True).stderr
    modules = options.partition("--modules-path=")[2].split(" ")[0]
    if "--with-stream=dynamic" in options and not (Path(modules) / "ngx_stream_module.so").exists():
        pytest.skip("nginx has no stream module (libnginx-mod-stream)")


@contextmanager
def running_nginx(**variables: str) -> Iterator[Nginx]:
    """One with the users ``alice`` (north), ``bob`` (south) and ``olga`` (operator)."""
    require_nginx()
    with tempfile.TemporaryDirectory(prefix="nginx-", ignore_cleanup_errors=True) as folder:
        nginx = Nginx(Path(folder), **variables)
        nginx.add_user("north", "alice")
        nginx.add_user("south", "bob")
        nginx.add_user("--operator", "olga")
        with nginx:
            yield nginx
